package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"slices"

	"kinward/blocklists"
	"kinward/journal/alerts"
)

// alertsConfig is what messages to guardians need of the operator.
type alertsConfig struct {
	Link         string     `mapstructure:"link" yaml:"link"`
	AllowPrivate bool       `mapstructure:"allow-private" yaml:"allow-private"`
	SMTP         smtpConfig `mapstructure:"smtp" yaml:"smtp"`
	Push         pushConfig `mapstructure:"push" yaml:"push"`
}

// smtpConfig is the server that takes mail. Without a host there is no e-mail.
type smtpConfig struct {
	Host     string `mapstructure:"host" yaml:"host"`
	Port     int    `mapstructure:"port" yaml:"port"`
	Security string `mapstructure:"security" yaml:"security"`
	Username string `mapstructure:"username" yaml:"username"`
	Password string `mapstructure:"password" yaml:"password"`
	From     string `mapstructure:"from" yaml:"from"`
	Roots    string `mapstructure:"roots" yaml:"roots"`
}

// pushConfig is for web push. Without a contact there is none.
type pushConfig struct {
	Contact string `mapstructure:"contact" yaml:"contact"`
}

func defaultAlerts() alertsConfig {
	return alertsConfig{SMTP: smtpConfig{Port: 587, Security: string(alerts.StartTLS)}}
}

// check reads the keys as a whole.
func (a alertsConfig) check() (smtp alerts.SMTP, err error) {
	if a.Link != "" {
		if u, err := url.Parse(a.Link); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
			return smtp, fmt.Errorf("link: %q is not an address like https://kinward.example.org", maskURL(a.Link))
		}
	}
	if c := a.Push.Contact; c != "" && !isAddress(c) {
		if u, err := url.Parse(c); err != nil || u.Scheme != "https" || u.Host == "" {
			return smtp, fmt.Errorf("push: contact: %q is not an e-mail address, nor an https URL, by which push services reach you", c)
		}
	}
	smtp, err = a.SMTP.check()
	if err != nil {
		return smtp, fmt.Errorf("smtp: %w", err)
	}
	return smtp, nil
}

func (s smtpConfig) check() (alerts.SMTP, error) {
	out := alerts.SMTP{Host: s.Host, Port: s.Port, Security: alerts.Security(s.Security), Username: s.Username, Password: s.Password, From: s.From}
	switch {
	case s.Port < 1 || s.Port > 65535:
		return out, fmt.Errorf("port: %d is not between 1 and 65535", s.Port)
	case !slices.Contains([]alerts.Security{alerts.StartTLS, alerts.ImplTLS, alerts.Clear}, out.Security):
		return out, fmt.Errorf("security: %q is not starttls, tls or none", s.Security)
	case (s.Username == "") != (s.Password == ""):
		return out, errors.New("username and password belong together; give both")
	case s.Host == "" && (s.Username != "" || s.From != "" || s.Roots != ""):
		return out, errors.New("host: give the mail server's name, for example smtp.example.org")
	case s.Host == "":
		return out, nil
	case !isAddress(s.From):
		return out, fmt.Errorf("from: %q is not the address that messages come from, like kinward@example.org", s.From)
	case out.Security == alerts.Clear && !isNear(s.Host):
		return out, fmt.Errorf("security: none is only for a server on this machine or in your own network, given by its address; %q is none", s.Host)
	}
	if s.Roots != "" {
		text, err := os.ReadFile(s.Roots)
		if err != nil {
			return out, fmt.Errorf("roots: %w", err)
		}
		if out.Roots = x509.NewCertPool(); !out.Roots.AppendCertsFromPEM(text) {
			return out, fmt.Errorf("roots: %s holds no certificate in PEM", s.Roots)
		}
	}
	return out, nil
}

func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

// isNear reports whether a host is this machine or one of a private network.
func isNear(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && !blocklists.IsPublic(a)
}

// masked returns a copy that may be shown to anybody.
func (a alertsConfig) masked() alertsConfig {
	if a.SMTP.Password != "" {
		a.SMTP.Password = "***"
	}
	a.Link = maskURL(a.Link)
	return a
}
