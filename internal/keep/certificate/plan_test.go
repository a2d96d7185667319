package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// after is the state once a plan has been written.
func (s State) after(p Plan) State {
	if p.Authorities != nil {
		s.Authorities = p.Authorities
	}
	if p.Bundle != "" {
		s.Bundle = p.Bundle
	}
	if p.Serving != nil {
		s.Serving = p.Serving
	}
	return s
}

func mustPlan(t *testing.T, s State, now time.Time) Plan {
	t.Helper()
	p, err := PlanFor(s, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// settled is the state after all has been written at a time; another look then finds nothing to write.
func settled(t *testing.T, s State, now time.Time) State {
	t.Helper()
	s = s.after(mustPlan(t, s, now))
	p := mustPlan(t, s, now)
	if diff := cmp.Diff(Plan{Expires: p.Expires, Next: p.Next}, p); diff != "" {
		t.Errorf("a second look writes (-want +got):\n%s", diff)
	}
	if !p.Next.After(now) || p.Next.After(now.Add(ServingLife)) {
		t.Errorf("the next look is %v from now", p.Next.Sub(now))
	}
	return s
}

// trusts is nil when a sandbox with a bundle accepts what the gateway serves with.
func trusts(bundle string, data map[string][]byte, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(bundle))
	leaf := readServing(data)
	_, err := leaf.certificate.Verify(x509.VerifyOptions{DNSName: ServerName, Roots: roots, CurrentTime: now})
	return err
}

// Over decades, every sandbox that may live, with the bundle of the time at which it started, accepts the gateway at all times, though the keeper
// looks late; keys of authorities that no longer sign are gone; and the bundle does not grow.
func TestSandboxesTrustTheGatewayForALifetime(t *testing.T) {
	const longestSandbox = 365 * day
	type sandbox struct {
		started time.Time
		bundle  string
	}
	s, live, signers := State{}, []sandbox(nil), map[string]bool{}
	for now := start; now.Before(start.Add(3 * AuthorityLife)); {
		s = settled(t, s, now)
		live = append(live, sandbox{now, s.Bundle})
		live = slices.DeleteFunc(live, func(b sandbox) bool { return now.Sub(b.started) > longestSandbox })
		for _, b := range live {
			if err := trusts(b.bundle, s.Serving, now); err != nil {
				t.Fatalf("%v after the start, a sandbox that is %v old does not trust the gateway: %v", now.Sub(start), now.Sub(b.started), err)
			}
		}
		keys := 0
		for entry := range s.Authorities {
			if strings.HasSuffix(entry, extensionKey) {
				keys++
			}
		}
		if n := len(decode(s.Bundle)); n > 2 || keys > 2 {
			t.Fatalf("%v after the start: %d authorities, %d keys", now.Sub(start), n, keys)
		}
		signers[readServing(s.Serving).certificate.Issuer.CommonName] = true
		late := 12 * time.Hour
		now = mustPlan(t, s, now).Next.Add(late)
	}
	if len(signers) < 4 {
		t.Errorf("%d authorities have signed", len(signers))
	}
}

func TestTheFirstLookMakesAll(t *testing.T) {
	p := mustPlan(t, State{}, start)
	certificates := decode(p.Bundle)
	if len(certificates) != 1 || len(p.Authorities) != 2 {
		t.Fatalf("%d certificates, Secret with %q", len(certificates), slices.Sorted(maps.Keys(p.Authorities)))
	}
	if err := trusts(p.Bundle, p.Serving, start); err != nil {
		t.Error(err)
	}
	if _, err := tls.X509KeyPair(p.Serving[certificateKey], p.Serving[privateKey]); err != nil {
		t.Error(err)
	}
	leaf := readServing(p.Serving).certificate
	want := []any{[]string{"sandkeep-gateway.sandkeep-system.svc", "sandkeep-gateway.sandkeep-system.svc.cluster.local"}, ServingLife, leaf.NotAfter}
	if diff := cmp.Diff(want, []any{leaf.DNSNames, leaf.NotAfter.Sub(leaf.NotBefore), p.Expires}); diff != "" {
		t.Errorf("certificate (-want +got):\n%s", diff)
	}
	if bytes.Contains([]byte(p.Bundle), []byte("PRIVATE")) {
		t.Error("a key is in the bundle")
	}
}

// An authority whose key is stolen opens nothing but the gateway's own name.
func TestAnAuthoritySignsForTheGatewayOnly(t *testing.T) {
	a, err := newAuthority(start)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	cases := map[string]struct {
		name      string
		addresses []net.IP
		ca, ok    bool
	}{
		"the gateway":        {name: ServerName, ok: true},
		"another service":    {name: "other.sandkeep-system.svc"},
		"a provider":         {name: "api.anthropic.com"},
		"an address":         {name: ServerName, addresses: []net.IP{net.IPv4(192, 0, 2, 1)}},
		"an address of IPv6": {name: ServerName, addresses: []net.IP{net.ParseIP("2001:db8::1")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			made, err := issue(a, start)
			if err != nil {
				t.Fatal(err)
			}
			template := *made.certificate
			template.DNSNames, template.IPAddresses, template.ExtraExtensions = []string{c.name}, c.addresses, nil
			leaf, err := sign(&template, a.certificate, &made.key.PublicKey, a.key)
			if err != nil {
				t.Fatal(err)
			}
			_, err = leaf.Verify(x509.VerifyOptions{DNSName: c.name, Roots: pool, CurrentTime: start})
			if (err == nil) != c.ok {
				t.Errorf("verification: %v", err)
			}
		})
	}
}

func TestWhatIsDamagedIsMended(t *testing.T) {
	whole := settled(t, State{}, start)
	later := start.Add(30 * day)
	other := settled(t, State{}, start)
	without := func(data map[string][]byte, extension string) map[string][]byte {
		data = maps.Clone(data)
		maps.DeleteFunc(data, func(entry string, _ []byte) bool { return strings.HasSuffix(entry, extension) })
		return data
	}
	replaced := func(data map[string][]byte, extension, text string) map[string][]byte {
		data = maps.Clone(data)
		for entry := range data {
			if strings.HasSuffix(entry, extension) {
				data[entry] = []byte(text)
			}
		}
		return data
	}
	cases := map[string]struct {
		damaged State
		// what is written
		authorities, bundle, serving bool
		// oldBundle says that sandboxes that run go on trusting the gateway.
		oldBundle bool
	}{
		"nothing":                              {whole, false, false, false, true},
		"the bundle is gone":                   {State{whole.Authorities, "", whole.Serving}, false, true, false, true},
		"the bundle is another's":              {State{whole.Authorities, other.Bundle, whole.Serving}, false, true, false, true},
		"the bundle has more":                  {State{whole.Authorities, whole.Bundle + other.Bundle, whole.Serving}, false, true, false, true},
		"the certificate is gone":              {State{whole.Authorities, whole.Bundle, nil}, false, false, true, true},
		"the certificate is another's":         {State{whole.Authorities, whole.Bundle, other.Serving}, false, false, true, true},
		"the certificate is no PEM":            {State{whole.Authorities, whole.Bundle, replaced(whole.Serving, ".crt", "x")}, false, false, true, true},
		"its key is gone":                      {State{whole.Authorities, whole.Bundle, without(whole.Serving, ".key")}, false, false, true, true},
		"its key is another's":                 {State{whole.Authorities, whole.Bundle, replaced(whole.Serving, ".key", string(other.Serving["tls.key"]))}, false, false, true, true},
		"the authorities are gone":             {State{nil, whole.Bundle, whole.Serving}, true, true, false, true},
		"the authorities are no PEM":           {State{replaced(whole.Authorities, ".crt", "x"), whole.Bundle, whole.Serving}, true, true, false, true},
		"the key of the authority is gone":     {State{without(whole.Authorities, ".key"), whole.Bundle, whole.Serving}, true, true, false, true},
		"authorities and certificate are gone": {State{nil, whole.Bundle, nil}, true, true, true, false},
		"authorities and bundle are gone":      {State{nil, "", whole.Serving}, true, true, true, false},
		"all is gone":                          {State{}, true, true, true, false},
		"a foreign entry is in the Secret of authorities": {State{func() map[string][]byte {
			data := maps.Clone(whole.Authorities)
			data["notes"] = []byte("x")
			return data
		}(), whole.Bundle, whole.Serving}, true, false, false, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := mustPlan(t, c.damaged, later)
			got := []bool{p.Authorities != nil, p.Bundle != "", p.Serving != nil}
			if diff := cmp.Diff([]bool{c.authorities, c.bundle, c.serving}, got); diff != "" {
				t.Errorf("written: authorities, bundle, certificate (-want +got):\n%s", diff)
			}
			s := settled(t, c.damaged, later)
			if err := trusts(s.Bundle, s.Serving, later); err != nil {
				t.Errorf("the bundle does not cover the certificate: %v", err)
			}
			if err := trusts(whole.Bundle, s.Serving, later); (err == nil) != c.oldBundle {
				t.Errorf("a sandbox that runs: %v", err)
			}
		})
	}
}

// Whatever write of a plan is the last that succeeds, the gateway goes on being trusted, and the next look completes it.
func TestAPlanCanStopAnywhere(t *testing.T) {
	whole := settled(t, State{}, start)
	for name, now := range map[string]time.Time{
		"at the renewal of the certificate": start.Add(ServingLife * 2 / 3), "at the next authority": start.Add(AuthorityLife * 2 / 3),
	} {
		t.Run(name, func(t *testing.T) {
			before := whole
			if now.Sub(start) > ServingLife {
				before = settled(t, whole, now.Add(-day)) // which has renewed the certificate
			}
			p := mustPlan(t, before, now)
			for _, written := range []Plan{{}, {Authorities: p.Authorities}, {Authorities: p.Authorities, Bundle: p.Bundle}} {
				s := before.after(written)
				if err := trusts(s.Bundle, s.Serving, now); err != nil {
					t.Error(err)
				}
				s = settled(t, s, now)
				if err := trusts(s.Bundle, s.Serving, now); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Whatever is in the objects, it is mended.
func FuzzPlanFor(f *testing.F) {
	whole := State{}
	p, err := PlanFor(whole, start)
	if err != nil {
		f.Fatal(err)
	}
	whole = whole.after(p)
	for entry, text := range whole.Authorities {
		f.Add(entry, text, whole.Bundle, whole.Serving["tls.crt"], whole.Serving["tls.key"])
	}
	f.Add("", []byte(nil), "", []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, entry string, text []byte, bundle string, certificate, key []byte) {
		s := settled(t, State{map[string][]byte{entry: text}, bundle, map[string][]byte{"tls.crt": certificate, "tls.key": key}}, start)
		if err := trusts(s.Bundle, s.Serving, start); err != nil {
			t.Error(err)
		}
	})
}
