package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func leaf(t *testing.T, p Pair) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatalf("the certificate and its key do not match: %v", err)
	}
	return pair.Leaf
}

func verify(a *Authority, cert *x509.Certificate, usage x509.ExtKeyUsage, name string, at time.Time) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.Cert)
	_, err := cert.Verify(x509.VerifyOptions{
		Roots: roots, DNSName: name, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}

func TestClientIsItsUser(t *testing.T) {
	a, err := NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Client("system:node:node-1", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	cert := leaf(t, pair)
	if err := verify(a, cert, x509.ExtKeyUsageClientAuth, "", now); err != nil {
		t.Error(err)
	}
	if err := verify(a, cert, x509.ExtKeyUsageServerAuth, "", now); err == nil {
		t.Error("a client's certificate is good for a server")
	}
	got := append([]string{cert.Subject.CommonName}, cert.Subject.Organization...)
	if diff := cmp.Diff([]string{"system:node:node-1", "system:nodes"}, got); diff != "" {
		t.Errorf("user and groups (-want +got):\n%s", diff)
	}
}

func TestServerIsReachedByNameAndAddress(t *testing.T) {
	a, err := NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Server("kube-apiserver", []string{"kubernetes.default.svc"}, netip.MustParseAddr("198.18.1.1"))
	if err != nil {
		t.Fatal(err)
	}
	cert := leaf(t, pair)
	for _, name := range []string{"kubernetes.default.svc", "198.18.1.1"} {
		if err := verify(a, cert, x509.ExtKeyUsageServerAuth, name, now); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if err := verify(a, cert, x509.ExtKeyUsageServerAuth, "198.18.1.2", now); err == nil {
		t.Error("the certificate is good for an address that it was not made for")
	}
}

func TestCertificatesForgiveAClockThatJumpsBack(t *testing.T) {
	a, err := NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Client("someone")
	if err != nil {
		t.Fatal(err)
	}
	cert := leaf(t, pair)
	for at, valid := range map[time.Time]bool{
		now.Add(-30 * time.Minute): true, now.Add(-2 * time.Hour): false,
		now.Add(lifetime - time.Hour): true, now.Add(lifetime + time.Hour): false,
	} {
		if err := verify(a, cert, x509.ExtKeyUsageClientAuth, "", at); (err == nil) != valid {
			t.Errorf("at %s: valid should be %t, error is %v", at, valid, err)
		}
	}
}

func TestAuthoritiesDoNotTrustEachOther(t *testing.T) {
	a, err := NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := b.Client("admin", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(a, leaf(t, pair), x509.ExtKeyUsageClientAuth, "", now); err == nil {
		t.Error("the administrator of one cluster is accepted by another")
	}
}
