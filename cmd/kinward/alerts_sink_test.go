package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// letterbox is a real SMTP server that keeps what it is given.
type letterbox struct {
	addr, port, roots string
	tls               *tls.Config
	implicit          bool

	mu      sync.Mutex
	refuse  string // an answer to give to every message, e.g. "451 later"
	letters chan letter
}

type letter struct {
	at           time.Time
	from, to     string
	header       mail.Header
	subject      string
	plain, html  string
	raw          string
	unencrypted  bool
	authenticate string
}

// startLetterbox listens on loopback, with a certificate of an authority whose
// file it names.
func startLetterbox(t *testing.T, implicit bool) *letterbox {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "letterbox"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	b := &letterbox{
		tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, implicit: implicit,
		roots: filepath.Join(t.TempDir(), "roots.pem"), letters: make(chan letter, 100),
	}
	if err := os.WriteFile(b.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	_, b.port, _ = net.SplitHostPort(b.addr)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(conn)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return b
}

// serve speaks as much of RFC 5321, 3207 and 4954 as a client needs.
func (b *letterbox) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	encrypted := b.implicit
	if b.implicit {
		conn = tls.Server(conn, b.tls)
	}
	in := bufio.NewReader(conn)
	say := func(lines ...string) { io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n") }
	say("220 letterbox ESMTP")
	var l letter
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			if encrypted {
				say("250-letterbox", "250-8BITMIME", "250 AUTH PLAIN")
			} else {
				say("250-letterbox", "250-8BITMIME", "250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go ahead")
			conn = tls.Server(conn, b.tls)
			in, encrypted = bufio.NewReader(conn), true
		case "AUTH":
			_, coded, _ := strings.Cut(rest, " ")
			text, _ := base64.StdEncoding.DecodeString(coded)
			l.authenticate = strings.ReplaceAll(string(text), "\x00", "|")
			if l.authenticate != "|kinward|verysecret" {
				say("535 5.7.8 not you: " + l.authenticate) // some repeat what they were told
				continue
			}
			say("235 welcome")
		case "MAIL":
			l.from, l.unencrypted = rest, !encrypted
			say("250 ok")
		case "RCPT":
			l.to = rest
			say("250 ok")
		case "DATA":
			b.mu.Lock()
			refuse := b.refuse
			b.mu.Unlock()
			if refuse != "" {
				say(refuse)
				continue
			}
			say("354 go on")
			var raw strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				raw.WriteString(strings.TrimPrefix(line, "."))
			}
			l.raw, l.at = raw.String(), time.Now()
			b.letters <- readLetter(l)
			say("250 2.0.0 kept as 42")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (b *letterbox) answer(refuse string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = refuse
}

// readLetter takes a message apart as a mail program does.
func readLetter(l letter) letter {
	m, err := mail.ReadMessage(strings.NewReader(l.raw))
	if err != nil {
		l.plain = err.Error()
		return l
	}
	l.header = m.Header
	l.subject, _ = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	_, params, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err != nil {
			return l
		}
		body := io.Reader(p)
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			body = quotedprintable.NewReader(p)
		}
		text, _ := io.ReadAll(body)
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			l.html = string(text)
		} else {
			l.plain = string(text)
		}
	}
}

// next waits for a letter.
func (b *letterbox) next(t *testing.T) letter {
	t.Helper()
	select {
	case l := <-b.letters:
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("no letter came")
		return letter{}
	}
}

// config is what makes Kinward use the letterbox.
func (b *letterbox) config() string {
	security := "starttls"
	if b.implicit {
		security = "tls"
	}
	return fmt.Sprintf("  smtp: {host: 127.0.0.1, port: %s, security: %s, username: kinward, password: verysecret, from: kinward@example.org, roots: %s}\n", b.port, security, b.roots)
}

// received is what a receiver was sent.
type received struct {
	at     time.Time
	path   string
	header http.Header
	body   []byte
}

// receiver is an HTTP server that keeps what it is sent.
type receiver struct {
	url string
	got chan received

	mu     sync.Mutex
	status int
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{got: make(chan received, 100), status: http.StatusOK}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		status := r.status
		r.mu.Unlock()
		r.got <- received{time.Now(), req.URL.Path, req.Header, body}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) next(t *testing.T) received {
	t.Helper()
	select {
	case g := <-r.got:
		return g
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was received")
		return received{}
	}
}
