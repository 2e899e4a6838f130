package alerts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	stdmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"
)

// Security says how the way to an SMTP server is protected.
type Security string

const (
	StartTLS Security = "starttls" // RFC 3207, and no message without it
	ImplTLS  Security = "tls"      // RFC 8314
	Clear    Security = "none"
)

// SMTP is a server that takes mail. No Host: there is none.
type SMTP struct {
	Host     string
	Port     int
	Security Security
	Username string // "": no sign-in
	Password string
	From     string // address of the sender
	Roots    *x509.CertPool
}

type mailer struct{ s SMTP }

// NewMailer returns what sends e-mail through a server.
func NewMailer(s SMTP) Sender { return mailer{s} }

// NewEmail makes a channel to an e-mail address.
func NewEmail(address string) (Channel, error) {
	a, err := stdmail.ParseAddress(address)
	if err != nil || a.Address != address || strings.ContainsAny(address, "\r\n") {
		return Channel{}, fmt.Errorf("%q is not an e-mail address like eva@example.org", oneLine(address))
	}
	return Channel{Kind: Email, Settings: Settings{To: address}}, nil
}

func (m mailer) Send(ctx context.Context, c Channel, message Message) (string, error) {
	if m.s.Host == "" {
		return "", fmt.Errorf("sending e-mail: %w: the operator has to give a mail server under alerts: smtp", ErrNotSet)
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(m.s.From), msg.To(c.Settings.To)); err != nil {
		return "", fmt.Errorf("addressing e-mail: %w", err)
	}
	_, host, _ := strings.Cut(m.s.From, "@")
	msg.SetMessageIDWithValue(message.ID + "@" + host)
	msg.SetDateWithValue(message.Made)
	msg.Subject(message.Letter.Subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no replies of absence
	msg.SetBodyString(mail.TypeTextPlain, message.Letter.Text)
	msg.AddAlternativeString(mail.TypeTextHTML, message.Letter.HTML)

	options := []mail.Option{
		mail.WithPort(m.s.Port), mail.WithTimeout(sendTimeout), mail.WithoutNoop(),
		mail.WithTLSConfig(&tls.Config{ServerName: m.s.Host, RootCAs: m.s.Roots, MinVersion: tls.VersionTLS12}),
	}
	switch m.s.Security {
	case ImplTLS:
		options = append(options, mail.WithSSL())
	case Clear:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.s.Username != "" {
		auth := mail.SMTPAuthAutoDiscover
		options = append(options, mail.WithSMTPAuth(auth), mail.WithUsername(m.s.Username), mail.WithPassword(m.s.Password))
	}
	client, err := mail.NewClient(m.s.Host, options...)
	if err != nil {
		return "", fmt.Errorf("preparing e-mail: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return "", fmt.Errorf("sending e-mail through %s: %w", m.s.Host, m.hide(err))
	}
	return oneLine(msg.ServerResponse()), nil
}

// hide takes the password from what a server said, should it repeat it.
func (m mailer) hide(err error) error {
	text := err.Error()
	if m.s.Password != "" { // before the text is cut, or half of it could be left
		text = strings.ReplaceAll(text, m.s.Password, "***")
	}
	return errors.New(oneLine(text))
}
