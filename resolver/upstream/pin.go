package upstream

import (
	"crypto/sha256"
	"crypto/x509"
)

// pinOf returns the pin of a certificate's public key (RFC 7858 §4.2, RFC 7469
// §2.4).
func pinOf(c *x509.Certificate) pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }
