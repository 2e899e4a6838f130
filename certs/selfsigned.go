package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// selfSignedLife is short: it is for trying things out, and made anew at each
// start.
const selfSignedLife = 7 * 24 * time.Hour

// selfSigned is a source for tests and for trying things out. Its certificate is
// no authority's (it can sign nothing), is kept nowhere, and is not to be
// installed on a device.
type selfSigned struct{ name string }

func (s *selfSigned) kind() string                  { return "self-signed" }
func (s *selfSigned) close() error                  { return nil }
func (s *selfSigned) answers(context.Context) error { return nil }

func (s *selfSigned) refresh(_ context.Context, old *tls.Certificate) (*tls.Certificate, time.Time, error) {
	now := time.Now()
	if old != nil && now.Before(renewalOf(old.Leaf)) {
		return old, renewalOf(old.Leaf), nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return old, now, fmt.Errorf("making a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return old, now, fmt.Errorf("making a serial number: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Kinward, self-signed: do not trust"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(selfSignedLife),
		DNSNames: []string{s.name, "*." + s.name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // with IsCA false
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return old, now, fmt.Errorf("signing: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return old, now, fmt.Errorf("reading what was signed: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, renewalOf(leaf), nil
}

// renewalOf returns when a certificate is to be renewed: when two thirds of its
// life are over, which is 30 days before the end of a certificate of 90.
func renewalOf(leaf *x509.Certificate) time.Time {
	return leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
}
