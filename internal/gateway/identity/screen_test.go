package identity

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/tools/cache"
)

// jwt is a token with these claims, signed by nobody.
func jwt(claims string) string {
	return "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// screened is what becomes of a request behind a Screen: the verdict, and how often the API server was asked.
func screened(s Screen, address, token string) (v verdict, asked int) {
	s.Tokens = authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		asked++
		return good().AuthenticateRequest(r)
	})
	r := request(address, true)
	r.Header.Set("Authorization", token)
	a := &Authenticator{Tokens: &s, Cache: sandbox().reader(), Live: sandbox().reader(), AnyAddress: s.Known == nil}
	return identify(a, r), asked
}

func TestTheAPIServerIsNotAskedAboutWhatIsNoTokenForTheGateway(t *testing.T) {
	cases := map[string]struct {
		token string
		asked int
	}{
		"for the gateway":                     {"Bearer " + jwt(`{"aud":["sandkeep-gateway"]}`), 1},
		"for the gateway, as one text":        {"bearer " + jwt(`{"aud":"sandkeep-gateway"}`), 1},
		"for the gateway and others":          {"Bearer " + jwt(`{"aud":["vault","sandkeep-gateway"],"exp":1}`), 1},
		"for the API server":                  {"Bearer " + jwt(`{"aud":["https://kubernetes.default.svc"]}`), 0},
		"for nobody":                          {"Bearer " + jwt(`{}`), 0},
		"for a number":                        {"Bearer " + jwt(`{"aud":7}`), 0},
		"for something like the gateway":      {"Bearer " + jwt(`{"aud":"sandkeep-gateway2"}`), 0},
		"no JSON":                             {"Bearer " + jwt(`{`), 0},
		"no base64":                           {"Bearer a.{}.c", 0},
		"random text":                         {"Bearer 0123456789abcdef", 0},
		"too many parts":                      {"Bearer " + jwt(`{"aud":["sandkeep-gateway"]}`) + ".x", 0},
		"a password":                          {"Basic " + jwt(`{"aud":["sandkeep-gateway"]}`), 0},
		"nothing":                             {"", 0},
		"a scheme only":                       {"Bearer", 0},
		"nothing, though the scheme is right": {"Bearer  x", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := turned(401, ReasonToken)
			if c.asked > 0 {
				want = verdict{}
			}
			got, asked := screened(Screen{}, podAddress+":555", c.token)
			if diff := cmp.Diff(want, got); diff != "" || asked != c.asked {
				t.Errorf("asked %d times, verdict (-want +got):\n%s", asked, diff)
			}
		})
	}
}

func TestTheAPIServerIsRarelyAskedForAddressesWithoutASandbox(t *testing.T) {
	var known Addresses
	known.OnAdd(sandbox().pod, true)
	cases := map[string]struct {
		known   *Addresses
		address string
		unknown bool
		asked   int
		want    verdict
	}{
		"a sandbox":                                {&known, podAddress + ":1", false, 1, verdict{}},
		"a sandbox, by IPv6":                       {&known, "[fd00::3]:1", false, 1, verdict{}},
		"a sandbox, its IPv4 address as IPv6":      {&known, "[::ffff:" + podAddress + "]:1", false, 1, verdict{}},
		"another pod":                              {&known, "10.1.2.4:1", false, 0, turned(503, ReasonNotYet)},
		"no address":                               {&known, "@", false, 0, turned(503, ReasonNotYet)},
		"another pod, while these are few":         {&known, "10.1.2.4:1", true, 1, turned(401, ReasonAddress)},
		"a new sandbox, while these are few":       {&Addresses{}, podAddress + ":1", true, 1, verdict{}},
		"any address, where networks hide it":      {nil, "10.1.2.4:1", false, 1, verdict{}},
		"a new sandbox, while others ask too much": {&Addresses{}, podAddress + ":1", false, 0, turned(503, ReasonNotYet)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			screen := Screen{Known: c.known, Unknown: func() bool { return c.unknown }}
			got, asked := screened(screen, c.address, "Bearer "+jwt(`{"aud":["sandkeep-gateway"]}`))
			got.Session, c.want.Session = "", ""
			if diff := cmp.Diff(c.want, got); diff != "" || asked != c.asked {
				t.Errorf("asked %d times, verdict (-want +got):\n%s", asked, diff)
			}
		})
	}
}

func TestAddressesFollowThePods(t *testing.T) {
	at := func(ips ...string) *corev1.Pod {
		return pod(func(o *corev1.Pod) {
			o.Status.PodIPs = nil
			for _, ip := range ips {
				o.Status.PodIPs = append(o.Status.PodIPs, corev1.PodIP{IP: ip})
			}
		}).pod
	}
	var a Addresses
	steps := []struct {
		name   string
		do     func()
		first  bool
		second bool
	}{
		{"at the beginning", func() {}, false, false},
		{"a pod without an address", func() { a.OnAdd(at(), true) }, false, false},
		{"it gets one", func() { a.OnUpdate(at(), at("10.0.0.1")) }, true, false},
		{"nothing of it changes", func() { a.OnUpdate(at("10.0.0.1"), at("10.0.0.1")) }, true, false},
		{"another with the same one, on its node", func() { a.OnAdd(at("10.0.0.1"), false) }, true, false},
		{"it moves", func() { a.OnUpdate(at("10.0.0.1"), at("10.0.0.2")) }, true, true},
		{"the first goes", func() { a.OnDelete(at("10.0.0.1")) }, false, true},
		{"the second goes while nobody looks", func() { a.OnDelete(cache.DeletedFinalStateUnknown{Obj: at("10.0.0.2")}) }, false, false},
	}
	for _, s := range steps {
		s.do()
		if first, second := a.has("10.0.0.1:1"), a.has("10.0.0.2:1"); first != s.first || second != s.second {
			t.Errorf("%s: %t, %t; want %t, %t", s.name, first, second, s.first, s.second)
		}
	}
	if len(a.pods) != 0 {
		t.Errorf("%d addresses of pods that are gone are kept", len(a.pods))
	}
}
