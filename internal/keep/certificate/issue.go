package certificate

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/keep"
)

const (
	// backdated is how much earlier than now a certificate begins, since clocks differ.
	backdated = 5 * time.Minute
	// extension of certificates and of keys in the Secret of the authorities.
	extensionCertificate, extensionKey = ".crt", ".key"
)

// ServerName is the name by which sandboxes know the gateway.
const ServerName = keep.GatewayService + "." + v1alpha1.NamespaceSystem + ".svc"

// serverNames are all names of the gateway, sorted.
var serverNames = []string{ServerName, ServerName + ".cluster.local"}

// authority signs certificates of the gateway. Its key is nil when it only has to be trusted.
type authority struct {
	name        string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// signs is when every live sandbox trusts the authority.
func (a authority) signs() time.Time { return a.certificate.NotBefore.Add(Overlap) }

// before orders authorities by their age.
func (a authority) before(other authority) bool { return compare(a, other) < 0 }

// byAge sorts authorities, the oldest first.
func byAge(authorities []authority) []authority {
	slices.SortFunc(authorities, compare)
	return authorities
}

func compare(a, b authority) int {
	return cmp.Or(a.certificate.NotBefore.Compare(b.certificate.NotBefore), cmp.Compare(a.name, b.name))
}

// newAuthority makes an authority that can sign for the names of the gateway only.
func newAuthority(now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return authority{}, err
	}
	begins := now.UTC().Add(-backdated).Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("%s authority %x", keep.GatewayService, serial)},
		NotBefore: begins, NotAfter: begins.Add(AuthorityLife),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: serverNames, ExcludedIPRanges: everyAddress,
	}
	certificate, err := sign(template, template, &key.PublicKey, key)
	if err != nil {
		return authority{}, err
	}
	return authority{name: nameOf(certificate), certificate: certificate, key: key}, nil
}

// nameOf is what an authority is called in the Secret: the day on which it began, and the last digits of its number.
func nameOf(c *x509.Certificate) string {
	serial := fmt.Sprintf("%08x", c.SerialNumber)
	return "ca-" + c.NotBefore.Format("20060102") + "-" + serial[len(serial)-8:]
}

// everyAddress is excluded: where only names are permitted, addresses would be free.
var everyAddress = []*net.IPNet{
	{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
}

// serving is what the gateway serves with. Its certificate is nil when there is none that can be read.
type serving struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issue makes a certificate of the gateway.
func issue(signer authority, now time.Time) (serving, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return serving{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return serving{}, err
	}
	begins := now.UTC().Add(-backdated).Truncate(time.Second)
	ends := begins.Add(ServingLife)
	if ends.After(signer.certificate.NotAfter) {
		ends = signer.certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: keep.GatewayService}, DNSNames: serverNames, NotBefore: begins, NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	certificate, err := sign(template, signer.certificate, &key.PublicKey, signer.key)
	return serving{certificate: certificate, key: key}, err
}

// good is true when the gateway can go on serving with it.
func (s serving) good(trusted []authority, now time.Time) bool {
	if s.certificate == nil || s.key == nil || !now.Before(due(s.certificate)) || !slices.Equal(s.certificate.DNSNames, serverNames) {
		return false
	}
	roots := x509.NewCertPool()
	for _, a := range trusted {
		roots.AddCert(a.certificate)
	}
	_, err := s.certificate.Verify(x509.VerifyOptions{DNSName: ServerName, Roots: roots, CurrentTime: now})
	return err == nil
}

func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial is a positive number of 16 bytes (RFC 5280, section 4.1.2.2, permits 20).
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	_, err := rand.Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b), err
}

// readAuthorities reads the authorities of a Secret that are valid, by age. What is none is left out, and so is a key that belongs to none.
func readAuthorities(data map[string][]byte, now time.Time) []authority {
	var authorities []authority
	for entry, text := range data {
		name, ok := strings.CutSuffix(entry, extensionCertificate)
		certificates := decode(string(text))
		if !ok || len(certificates) != 1 || !now.Before(certificates[0].NotAfter) {
			continue
		}
		authorities = append(authorities, authority{
			name: name, certificate: certificates[0], key: readKey(data[name+extensionKey], certificates[0]),
		})
	}
	return byAge(authorities)
}

// write is the data of a Secret with authorities.
func write(authorities []authority) map[string][]byte {
	data := map[string][]byte{}
	for _, a := range authorities {
		data[a.name+extensionCertificate] = encodeOne(a.certificate)
		if a.key != nil {
			data[a.name+extensionKey] = encodeKey(a.key)
		}
	}
	return data
}

func readServing(data map[string][]byte) serving {
	block, _ := pem.Decode(data[certificateKey])
	if block == nil {
		return serving{}
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return serving{}
	}
	return serving{certificate: certificate, key: readKey(data[privateKey], certificate)}
}

func (s serving) data() map[string][]byte {
	return map[string][]byte{certificateKey: encodeOne(s.certificate), privateKey: encodeKey(s.key)}
}

// readKey reads the key of a certificate; nil when it is none, or another one's.
func readKey(text []byte, of *x509.Certificate) *ecdsa.PrivateKey {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || !key.PublicKey.Equal(of.PublicKey) {
		return nil
	}
	return key
}

func encodeOne(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func encodeKey(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil // no key of a curve that the standard library makes
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
