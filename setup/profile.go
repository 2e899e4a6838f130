package setup

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/smallstep/pkcs7"
	"howett.net/plist"
)

// Profile says what an Apple configuration profile is to do.
type Profile struct {
	DoT bool // DNS over TLS; otherwise DNS over HTTPS, which fewer networks stop
	// Locked keeps the person at the device from switching it off. Apple heeds that
	// on supervised devices alone.
	Locked bool
}

// MobileConfig returns the profile that makes an iPhone, iPad or Mac ask the
// server in all networks. It carries nothing but these settings: no root
// certificate, and no right over the device. Its UUIDs follow from family and
// device, so that a new profile replaces the old one where it is installed. The keys
// are those of Apple's "Device Management" documentation, DNSSettings, as read in
// November 2026.
func MobileConfig(v Values, p Profile) ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	if v.Host() == "" {
		return nil, fmt.Errorf("making an Apple profile: %w", ErrNoPublicName)
	}
	type dict = map[string]any
	settings := dict{"DNSProtocol": "HTTPS", "ServerURL": v.URL()}
	if p.DoT {
		settings = dict{"DNSProtocol": "TLS", "ServerName": v.Host()}
	}
	if len(v.Public) > 0 {
		var addrs []string
		for _, a := range v.Public {
			addrs = append(addrs, a.String())
		}
		settings["ServerAddresses"] = addrs
	}
	dns := dict{
		"PayloadType": "com.apple.dnsSettings.managed", "PayloadVersion": 1,
		"PayloadIdentifier": identifier(v) + ".dns", "PayloadUUID": uuid(v, "dns"),
		"PayloadDisplayName": "Kinward DNS",
		"DNSSettings":        settings,
		// Where no rule stands the settings hold everywhere. These say so for each
		// kind of network, the last one for every other kind.
		"OnDemandRules": []dict{
			{"Action": "Connect", "InterfaceTypeMatch": "WiFi"}, {"Action": "Connect", "InterfaceTypeMatch": "Cellular"}, {"Action": "Connect"},
		},
	}
	if p.Locked {
		dns["ProhibitDisablement"] = true
	}
	out, err := plist.MarshalIndent(dict{
		"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadScope": "System",
		"PayloadIdentifier": identifier(v), "PayloadUUID": uuid(v, "profile"),
		"PayloadDisplayName": "Kinward: " + v.Name, "PayloadOrganization": v.Server,
		"PayloadDescription": "Sends this device's DNS questions to your family's own server, in every network. It changes nothing else.",
		"PayloadContent":     []dict{dns},
	}, plist.XMLFormat, "\t")
	if err != nil {
		return nil, fmt.Errorf("making an Apple profile: %w", err)
	}
	return append(out, '\n'), nil
}

// identifier returns what an Apple device knows a profile by: one that comes again
// replaces what it was.
func identifier(v Values) string { return "kinward." + v.Server + "." + v.Family + "." + v.Device }

// uuid returns the UUID of a part of a device's profile: version 8, made of a
// SHA-256 (RFC 9562 §5.8). It stays when the token is renewed, and tells nothing
// of whom it belongs to.
func uuid(v Values, part string) string {
	h := sha256.Sum256([]byte("kinward profile\x00" + v.Server + "\x00" + v.Family + "\x00" + v.Device + "\x00" + part))
	u := h[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// Sign wraps a profile in a CMS signature with SHA-256 (RFC 5652) by the first of
// chain, the certificates above it included. A device then shows whose the
// profile is; it installs an unsigned one too, and says so.
func Sign(profile []byte, chain []*x509.Certificate, key crypto.PrivateKey) ([]byte, error) {
	if len(chain) == 0 {
		return nil, errors.New("signing a profile: there is no certificate")
	}
	signed, err := pkcs7.NewSignedData(profile)
	if err != nil {
		return nil, fmt.Errorf("signing a profile: %w", err)
	}
	signed.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256) // its own choice is SHA-1
	if signer, ok := key.(crypto.Signer); !ok || !samePublicKey(signer.Public(), chain[0].PublicKey) {
		return nil, errors.New("signing a profile: the key is not that of the certificate")
	}
	for _, c := range chain[1:] {
		signed.AddCertificate(c)
	}
	if err := signed.AddSigner(chain[0], key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("signing a profile: %w", err)
	}
	out, err := signed.Finish()
	if err != nil {
		return nil, fmt.Errorf("signing a profile: %w", err)
	}
	if rest, err := asn1.Unmarshal(out, new(asn1.RawValue)); err != nil || len(rest) > 0 {
		return nil, errors.New("signing a profile: what was made is not whole")
	}
	return out, nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	x, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && x.Equal(b)
}
