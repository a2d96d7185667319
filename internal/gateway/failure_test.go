package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// unavailable fails unless an answer is the gateway's own, and says that the provider does not answer.
func (s *stage) unavailable(a answer, status int, kind string) {
	s.t.Helper()
	if a.StatusCode != status || a.Header.Get(contract.HeaderFailureClass) != string(contract.ProviderUnavailable) || a.Header.Get(contract.HeaderFailureMessage) == "" ||
		!strings.HasPrefix(a.body, `{"error":{"message":"`) {
		s.t.Errorf("%s, class %q: %s", a.Status, a.Header.Get(contract.HeaderFailureClass), a.body)
	}
	s.counts("refusals_total{class=opencode,namespace=team-a,provider=anthropic,reason=" + kind + ",} 1")
}

func TestAProviderThatIsDown(t *testing.T) {
	s := newStage(t, fine)
	s.upstream.Close()
	a := s.post("")
	s.unavailable(a, http.StatusBadGateway, "Unavailable")
	if !strings.Contains(a.body, "refuses the connection") {
		t.Errorf("the agent is not told why: %s", a.body)
	}
	s.post("")
	if log := s.told.logged(); strings.Count(log, "A provider did not answer") != 1 || !strings.Contains(log, "connection refused") {
		t.Errorf("admins should be told once, and why:\n%s", log)
	}
}

func TestAProviderWhoseNameNobodyKnows(t *testing.T) {
	s := newStage(t, fine, func(o *objects) {
		o.endpoint().Host, o.credential.Status.Hosts = "nobody.invalid", []string{"nobody.invalid"}
	})
	if a := s.post(""); !strings.Contains(a.body, "the name of its host is not found") {
		t.Errorf("the agent is not told why: %s", a.body)
	}
}

func TestAProviderThatIsSlow(t *testing.T) {
	slow := make(chan struct{})
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "messages") {
			select {
			case <-slow:
			case <-r.Context().Done():
			}
		}
		fine(w, r)
	})
	defer close(slow)
	s.do(s.request(http.MethodGet, contract.GatewayProviders+"anthropic/v1/models/x", ""))
	transport := s.upstreams.byName["anthropic"].transport
	if transport.ResponseHeaderTimeout != answerTimeout {
		t.Errorf("a model has %s to think", transport.ResponseHeaderTimeout)
	}
	transport.ResponseHeaderTimeout = 50 * time.Millisecond
	s.unavailable(s.post(""), http.StatusGatewayTimeout, "Timeout")
}

func TestACertificateThatIsNotTheProviders(t *testing.T) {
	own, other := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	cases := map[string]struct {
		pair tls.Certificate
		ca   string
		kind string
	}{
		"the right one":           {own.pair(outside(t), soon), own.bundle(), ""},
		"from another authority":  {other.pair(outside(t), soon), own.bundle(), "Certificate"},
		"for another name":        {own.pair("evil.example", soon), own.bundle(), "Certificate"},
		"that has expired":        {own.pair(outside(t), time.Now().Add(-time.Minute)), own.bundle(), "Certificate"},
		"not of a public one":     {own.pair(outside(t), soon), "", "Certificate"},
		"with a broken caBundle":  {own.pair(outside(t), soon), "x", "Unavailable"},
		"with an authority twice": {own.pair(outside(t), soon), other.bundle() + own.bundle(), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, fine, func(u *httptest.Server) { u.TLS = &tls.Config{Certificates: []tls.Certificate{c.pair}} })
			s := stageWith(t, u, func(o *objects) { o.endpoint().Scheme, o.endpoint().CABundle = "", c.ca })
			a := s.post("")
			if c.kind != "" {
				s.unavailable(a, http.StatusBadGateway, c.kind)
				if len(u.requests()) > 0 {
					t.Error("the provider got the key")
				}
			} else if a.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", a.Status, a.body)
			}
		})
	}
}

func TestATrustedAuthorityThatIsTakenBackIsNotTrusted(t *testing.T) {
	s := trusting(t, fine, both["HTTP/2"])
	if a := s.post(""); a.StatusCode != http.StatusOK || !strings.Contains(s.upstream.requests()[0], "HTTP/2.0") {
		t.Fatalf("%s: %s", a.Status, a.body)
	}
	s.endpoint().CABundle = newAuthority(t).bundle()
	s.write(s.provider, false)
	s.unavailable(s.post(""), http.StatusBadGateway, "Certificate")
}

func TestPlainHTTPInThePlaceOfTLS(t *testing.T) {
	s := newStage(t, fine, func(o *objects) { o.endpoint().Scheme = v1alpha1.EndpointSchemeHTTPS })
	a := s.post("")
	s.unavailable(a, http.StatusBadGateway, "Unavailable")
	if !strings.Contains(a.body, "does not speak TLS") {
		t.Errorf("the agent is not told why: %s", a.body)
	}
	if len(s.upstream.requests()) > 0 {
		t.Error("the provider got the key")
	}
}

func TestAddressesThatNoProviderCanHave(t *testing.T) {
	cases := map[string]struct {
		host    string // the provider's own when empty
		private bool
	}{
		"a private one, not permitted":  {"10.1.2.3", false},
		"our own network":               {"", false},
		"loopback":                      {"127.0.0.1", true},
		"loopback by name":              {"localhost", true},
		"loopback in short":             {"127.1", true},
		"loopback as a number":          {"2130706433", true},
		"metadata of a cloud":           {"169.254.169.254", true},
		"this machine":                  {"0.0.0.0", true},
		"the API server's, though ours": {"", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine, func(o *objects) {
				o.endpoint().AllowPrivate = &c.private
				if c.host != "" {
					o.endpoint().Host, o.credential.Status.Hosts = c.host, []string{c.host}
				}
			})
			kind := "AddressRefused"
			if c.host == "" && !c.private && !netip.MustParseAddr(s.upstream.host).IsPrivate() && !isSpecial(s.upstream.host) {
				t.Skip("this machine's address is public")
			}
			if c.host == "127.1" || c.host == "2130706433" {
				kind = "" // whether a resolver takes it for an address differs; that it leads nowhere does not
			}
			if c.host == "" && c.private {
				s.Forbidden = func(context.Context) ([]netip.Prefix, error) {
					return []netip.Prefix{netip.MustParsePrefix(s.upstream.host + "/32")}, nil
				}
			}
			a := s.post("")
			if kind != "" {
				s.unavailable(a, http.StatusBadGateway, kind)
			} else if a.StatusCode != http.StatusBadGateway && a.StatusCode != http.StatusGatewayTimeout {
				t.Errorf("%s: %s", a.Status, a.body)
			}
			if len(s.upstream.requests()) > 0 {
				t.Error("the request was made")
			}
		})
	}
}

// isSpecial is true for addresses that are set aside for documentation and benchmarks, which test machines like to have.
func isSpecial(host string) bool {
	for _, p := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "100.64.0.0/10"} {
		if netip.MustParsePrefix(p).Contains(netip.MustParseAddr(host)) {
			return true
		}
	}
	return false
}

func TestAnAgentThatLeavesEndsTheRequest(t *testing.T) {
	cases := map[string]struct {
		begin  func(http.ResponseWriter)
		status string
	}{
		"before the answer": {nil, "0"},
		"in a stream of no end": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", stream)
			_, _ = io.WriteString(w, "data: x\n\n")
		}, "200"},
		"in an error without end": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "x")
		}, "500"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan struct{})
			s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				if c.status != "0" {
					c.begin(w)
					_ = http.NewResponseController(w).Flush()
				}
				close(begun)
				<-r.Context().Done()
			})
			s.goneTime = 200 * time.Millisecond
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			go func() {
				<-begun
				time.Sleep(50 * time.Millisecond) // or before: either way it has to end
				leave()
			}()
			r, err := s.agent.Do(s.request(http.MethodPost, messages, "").WithContext(ctx))
			if err == nil {
				_, err = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("the request to the provider goes on")
			}
			s.counts("requests_total{class=opencode,credential=shared,namespace=team-a,provider=anthropic,status=" + c.status + ",} 1")
			if got := strings.Count(s.metrics(), "requests_total"); got != 1 {
				t.Errorf("counted as %d kinds of requests:\n%s", got, s.metrics())
			}
		})
	}
}

func TestAnAPIServerThatIsDown(t *testing.T) {
	cases := map[string]client.Object{"at the credential": &v1alpha1.ClusterCredential{}, "at the namespace": &corev1.Namespace{}, "at the provider": &v1alpha1.APIProvider{}}
	for name, kind := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine)
			s.Cache = interceptor.NewClient(s.api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if same(o, kind) {
					return apierrors.NewServiceUnavailable("starting with " + canary)
				}
				return c.Get(ctx, key, o, opts...)
			}})
			a := s.post("")
			if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "1" || len(s.upstream.requests()) > 0 {
				t.Errorf("%s: %s", a.Status, a.body)
			}
		})
	}
}

func same(a, b client.Object) bool {
	switch a.(type) {
	case *v1alpha1.ClusterCredential:
		_, ok := b.(*v1alpha1.ClusterCredential)
		return ok
	case *corev1.Namespace:
		_, ok := b.(*corev1.Namespace)
		return ok
	case *v1alpha1.APIProvider:
		_, ok := b.(*v1alpha1.APIProvider)
		return ok
	}
	return false
}

func TestASecretThatMayNotBeReadSaysSo(t *testing.T) {
	s := newStage(t, fine)
	s.Cache = interceptor.NewClient(s.api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if _, ok := o.(*corev1.Secret); ok {
			return apierrors.NewForbidden(corev1.Resource("secrets"), key.Name, errors.New("no"))
		}
		return c.Get(ctx, key, o, opts...)
	}})
	if a := s.post(""); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "may not be read by the gateway") {
		t.Errorf("%s: %s", a.Status, a.body)
	}
	s.counts("refusals_total{class=opencode,namespace=team-a,provider=anthropic,reason=SecretNotReadable,} 1")
}

func TestAProviderThatStopsInTheMiddle(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).Close()
		}
	})
	if a := s.post(""); !a.cut || a.body != "half" {
		t.Errorf("%q, cut %t", a.body, a.cut)
	}
}
