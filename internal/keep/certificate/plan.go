// Package certificate decides what the gateway's certificates have to be: the authorities that sign them, the bundle that sandboxes trust, and
// the certificate that the gateway serves with. It has no clients and no clock; only new keys are random.
//
// A sandbox trusts the bundle as it was when its pod started, and lives for a year at most (the longest activeDeadlineSeconds). Hence the way of an
// authority, all of which follows from the time at which it began:
//
//	0                  it enters the bundle; the first one ever signs at once, a later one not before every live sandbox trusts it:
//	Overlap            it signs, and the key of the one before is dropped
//	+ ServingLife      nothing that the one before has signed is valid any more, and it leaves the bundle
//	2/3 AuthorityLife  the next one begins
//	AuthorityLife      its end, long after the next one has taken over
package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const day = 24 * time.Hour

// Times in the life of certificates.
const (
	// AuthorityLife is how long an authority is valid.
	AuthorityLife = 3650 * day
	// Overlap is how long an authority is in the bundle before it signs: longer than a sandbox lives, which is a year at most.
	Overlap = 400 * day
	// ServingLife is how long the gateway's certificate is valid. It is renewed when two thirds have passed.
	ServingLife = 90 * day
)

// State is what exists. What is missing is empty.
type State struct {
	// Authorities is the data of Secret keep.GatewayAuthoritySecret.
	Authorities map[string][]byte
	// Bundle is the entry of ConfigMap keep.GatewayBundle.
	Bundle string
	// Serving is the data of Secret keep.GatewayServingSecret.
	Serving map[string][]byte
}

// Plan is what has to be written, in this order; what is empty stays as it is.
type Plan struct {
	Authorities map[string][]byte
	Bundle      string
	Serving     map[string][]byte
	// Expires is when the certificate that the gateway serves with ends.
	Expires time.Time
	// Next is when something has to be done again.
	Next time.Time
}

// PlanFor decides what has to be written. The certificate is always one that the bundle covers, once all has been written.
func PlanFor(s State, now time.Time) (Plan, error) {
	serving := readServing(s.Serving)
	authorities := adopt(readAuthorities(s.Authorities, now), s.Bundle, serving, now)
	if needsAuthority(authorities, now) {
		next, err := newAuthority(now)
		if err != nil {
			return Plan{}, fmt.Errorf("make an authority: %w", err)
		}
		authorities = byAge(append(authorities, next))
	}
	signer := signerAmong(authorities, now)
	authorities = retire(authorities, signer, now)

	var p Plan
	if data := write(authorities); !sameData(data, s.Authorities) {
		p.Authorities = data
	}
	if bundle := encode(authorities); bundle != s.Bundle {
		p.Bundle = bundle
	}
	if !serving.good(authorities, now) {
		var err error
		if serving, err = issue(signer, now); err != nil {
			return Plan{}, fmt.Errorf("sign the gateway's certificate: %w", err)
		}
		p.Serving = serving.data()
	}
	p.Expires, p.Next = serving.certificate.NotAfter, next(authorities, signer, serving)
	return p, nil
}

// adopt adds the authority in the bundle that signed what the gateway serves with, should the Secret of the authorities have been lost: sandboxes
// that run trust no other.
func adopt(authorities []authority, bundle string, serving serving, now time.Time) []authority {
	if serving.certificate == nil {
		return authorities
	}
	for _, c := range decode(bundle) {
		known := slices.ContainsFunc(authorities, func(a authority) bool { return a.certificate.Equal(c) })
		if !known && now.Before(c.NotAfter) && serving.certificate.CheckSignatureFrom(c) == nil {
			authorities = append(authorities, authority{name: nameOf(c), certificate: c})
		}
	}
	return byAge(authorities)
}

// needsAuthority is true when no authority that can sign has most of its life before it.
func needsAuthority(authorities []authority, now time.Time) bool {
	return !slices.ContainsFunc(authorities, func(a authority) bool { return a.key != nil && now.Before(due(a.certificate)) })
}

// signerAmong is the authority that signs: the newest that has been in the bundle for long enough; where there is none, the oldest.
func signerAmong(authorities []authority, now time.Time) authority {
	able := withKeys(authorities)
	for _, a := range slices.Backward(able) {
		if !now.Before(a.signs()) {
			return a
		}
	}
	return able[0]
}

func withKeys(authorities []authority) []authority {
	return slices.DeleteFunc(slices.Clone(authorities), func(a authority) bool { return a.key == nil })
}

// retire drops the keys of authorities that another one has followed, and the authorities once nothing that they signed is valid any more.
func retire(authorities []authority, signer authority, now time.Time) []authority {
	var kept []authority
	for _, a := range authorities {
		if a.before(signer) {
			if !now.Before(signer.signs().Add(ServingLife)) {
				continue
			}
			a.key = nil
		}
		kept = append(kept, a)
	}
	return kept
}

// next is when something has to be done again.
func next(authorities []authority, signer authority, serving serving) time.Time {
	able := withKeys(authorities)
	newest := able[len(able)-1]
	times := []time.Time{due(serving.certificate), due(newest.certificate)}
	if signer.before(newest) {
		times = append(times, newest.signs())
	}
	if authorities[0].before(signer) {
		times = append(times, signer.signs().Add(ServingLife))
	}
	return slices.MinFunc(times, time.Time.Compare)
}

// due is when a certificate has to be followed by another one.
func due(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
}

func sameData(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

// encode writes the certificates of authorities in PEM, the oldest first.
func encode(authorities []authority) string {
	var text bytes.Buffer
	for _, a := range authorities {
		text.Write(encodeOne(a.certificate))
	}
	return text.String()
}

// decode reads the certificates of authorities in PEM, and leaves out what is none.
func decode(bundle string) []*x509.Certificate {
	var certificates []*x509.Certificate
	for rest := []byte(bundle); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return certificates
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && c.IsCA {
			certificates = append(certificates, c)
		}
	}
}

// Entries of the Secret with the certificate, as in Secrets of type kubernetes.io/tls.
const (
	certificateKey = corev1.TLSCertKey
	privateKey     = corev1.TLSPrivateKeyKey
)
