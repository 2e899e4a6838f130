package setup

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMobileConfig: the profiles, as they are and as Apple's format is read by a
// tool that is not ours.
func TestMobileConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    Profile
		has  []string
		not  []string
	}{
		{"doh", Profile{}, []string{"https://dns.example/dns-query/k3v7m2q4x5n6p7ra"}, []string{"ProhibitDisablement", "ServerName"}},
		{"dot", Profile{DoT: true}, []string{"k3v7m2q4x5n6p7ra.dns.example"}, []string{"ProhibitDisablement", "ServerURL"}},
		{"locked", Profile{Locked: true}, []string{"ProhibitDisablement"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := MobileConfig(family(), tt.p)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".mobileconfig", string(got))
			for _, w := range tt.has {
				if !bytes.Contains(got, []byte(w)) {
					t.Errorf("it lacks %s", w)
				}
			}
			for _, w := range append(tt.not, "com.apple.security.root", "PayloadRemovalDisallowed") {
				if bytes.Contains(got, []byte(w)) {
					t.Errorf("it has %s", w)
				}
			}
			file := filepath.Join(t.TempDir(), "p.mobileconfig")
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
			// By way of the binary form, which holds values and no text of ours.
			for _, args := range [][]string{{"-i", file, "-f", "bin", "-o", file + ".bin"}, {"-i", file + ".bin", "-f", "xml", "-o", file + ".xml"}} {
				if said, err := exec.Command("plistutil", args...).CombinedOutput(); err != nil {
					t.Fatalf("plistutil (Debian: libplist-utils): %v\n%s", err, said)
				}
			}
			read, err := os.ReadFile(file + ".xml")
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range append(tt.has, "com.apple.dnsSettings.managed", ">Cellular<", ">WiFi<", `Lea's &lt;phone&gt; &amp; "more"`, uuid(family(), "profile"), uuid(family(), "dns")) {
				if !bytes.Contains(read, []byte(w)) {
					t.Errorf("plistutil does not read %s in it:\n%s", w, read)
				}
			}
		})
	}
}

// TestMobileConfigUUIDs: a profile keeps its identity when the device's token and
// name change, and shares it with no other device, family or server.
func TestMobileConfigUUIDs(t *testing.T) {
	identity := func(edit func(*Values)) string {
		v := family()
		edit(&v)
		return uuid(v, "profile") + identifier(v)
	}
	first := identity(func(*Values) {})
	if first != identity(func(v *Values) { v.Token, v.Name, v.Public = "aaaabbbbccccdddd", "Phone", nil }) {
		t.Error("a renewed token makes another profile; the old one would stay installed")
	}
	for what, edit := range map[string]func(*Values){
		"device": func(v *Values) { v.Device = "13" }, "family": func(v *Values) { v.Family = "8" }, "server": func(v *Values) { v.Server = "other.example" },
	} {
		if first == identity(edit) {
			t.Errorf("another %s has the same profile", what)
		}
	}
	if u := uuid(family(), "profile"); u == uuid(family(), "dns") || u[14] != '8' || !strings.ContainsRune("89AB", rune(u[19])) {
		t.Errorf("%s is no UUID of version 8 of its own (RFC 9562)", u)
	}
}

// issue makes a certificate for dns.example, signed by parent, or by itself.
func issue(t *testing.T, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "dns.example"}, DNSNames: []string{"dns.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if parent == nil {
		c.Subject.CommonName, c.DNSNames, c.IsCA, c.BasicConstraintsValid = "Test root", nil, true, true
		c.KeyUsage, c.SerialNumber = x509.KeyUsageCertSign, big.NewInt(1)
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestSign: OpenSSL verifies the signature up to the root, finds SHA-256 and
// nothing weaker, and gives back the very profile.
func TestSign(t *testing.T) {
	ec := func() crypto.Signer {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rootKey := ec()
	root := issue(t, rootKey, nil, nil)
	profile, err := MobileConfig(family(), Profile{})
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ECDSA": ec(), "RSA": long} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			signed, err := Sign(profile, []*x509.Certificate{issue(t, key, root, rootKey), root}, key)
			if err != nil {
				t.Fatal(err)
			}
			file := func(name string, content []byte) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			in, ca := file("signed", signed), file("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
			out := filepath.Join(dir, "out")
			verify := func(in string) ([]byte, error) {
				return exec.Command("openssl", "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any", "-in", in, "-CAfile", ca, "-out", out).CombinedOutput()
			}
			if said, err := verify(in); err != nil {
				t.Fatalf("openssl cms -verify: %v\n%s", err, said)
			}
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, profile) {
				t.Errorf("what was signed is not the profile (%v)", err)
			}
			shown, err := exec.Command("openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", in).CombinedOutput()
			if err != nil || !bytes.Contains(shown, []byte("algorithm: sha256")) || bytes.Contains(shown, []byte("algorithm: sha1 ")) {
				t.Errorf("the digest is not SHA-256 (%v):\n%s", err, shown)
			}
			forged := bytes.Replace(signed, []byte("dns.example/dns-query"), []byte("bad.example/dns-query"), 1)
			if said, err := verify(file("forged", forged)); err == nil {
				t.Errorf("a changed profile is verified:\n%s", said)
			}
		})
	}
	if _, err := Sign(profile, []*x509.Certificate{root}, ec()); err == nil {
		t.Error("a key that is not the certificate's signs")
	}
	if _, err := Sign(profile, nil, ec()); err == nil {
		t.Error("a profile is signed without a certificate")
	}
}
