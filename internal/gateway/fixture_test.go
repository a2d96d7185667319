package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
	"github.com/sandkeep/sandkeep/internal/gateway/ledger"
	"github.com/sandkeep/sandkeep/internal/gateway/limit"
	"github.com/sandkeep/sandkeep/internal/gateway/pulse"
	"github.com/sandkeep/sandkeep/internal/gateway/witness"
	"github.com/sandkeep/sandkeep/internal/owner"
)

const (
	// canary is the key. It must not be seen anywhere but at the provider.
	canary = "sk-ant-api03-cAnArY_0123456789-abcdefghij+klmnop/qrstuv=="
	// podToken is how the sandbox proves who it is. It must not be seen at the provider.
	podToken = "eyJhbGciOi.pod-token-of-the-sandbox.c2ln"

	messages  = contract.GatewayProviders + "anthropic/v1/messages"
	json      = "application/json"
	stream    = "text/event-stream"
	patience  = 10 * time.Second
	accessKey = "api-key"
)

var kinds = func() *kruntime.Scheme {
	s := kruntime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(coordinationv1.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}()

// objects are what the API server has: a sandbox that was given the key of a provider by Proxy.
type objects struct {
	pod        *corev1.Pod
	session    *v1alpha1.Session
	namespace  *corev1.Namespace
	provider   *v1alpha1.APIProvider
	credential *v1alpha1.ClusterCredential
	secret     *corev1.Secret
}

// endpoint is that of the provider.
func (o *objects) endpoint() *v1alpha1.Endpoint { return &o.provider.Spec.Endpoints[0] }

func newObjects(host string, port int32) *objects {
	session := build.Session("fix-login").With(func(s *v1alpha1.Session) {
		s.Status = v1alpha1.SessionStatus{PodUID: "uid-of-pod", ClassName: "opencode", Credentials: []v1alpha1.ResolvedCredential{{
			Provider: "anthropic", Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: "shared"},
			Delivery: v1alpha1.DeliveryProxy, Source: v1alpha1.CredentialSourceCluster, Method: v1alpha1.CredentialMethodAPIKey,
		}}}
	}).Obj()
	return &objects{
		session:   session,
		namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: build.Namespace}},
		pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: build.Namespace, Name: "fix-login-1", UID: "uid-of-pod", OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("Session")),
			}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "127.0.0.1"}}},
		},
		provider: build.Provider("anthropic").Ready().With(func(p *v1alpha1.APIProvider) {
			p.Spec.Endpoints = []v1alpha1.Endpoint{{Scheme: v1alpha1.EndpointSchemeHTTP, Host: host, Port: &port, AllowPrivate: new(true)}}
			p.Spec.Auth = &v1alpha1.ProviderAuth{APIKey: &v1alpha1.HeaderAuth{Header: "x-api-key"}}
			p.Spec.Usage = v1alpha1.UsageFormatAnthropicMessages
			p.Spec.Routes = []v1alpha1.Route{{Method: "POST", Path: "/v1/messages"}, {Method: "GET", Path: "/v1/models/*"}, {Method: "GET", Path: "/v1/live"}}
		}).Obj(),
		credential: build.ClusterCredential("shared").Secret("anthropic", accessKey).Ready().With(func(c *v1alpha1.ClusterCredential) {
			c.Spec.Allow = &v1alpha1.Allow{Namespaces: &v1alpha1.AllowedNamespaces{Names: []string{build.Namespace}}}
			c.Status.Hosts = []string{host}
		}).Obj(),
		secret: &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.NamespaceKeys, Name: "anthropic"},
			Type:       v1alpha1.SecretTypeAPIKey, Data: map[string][]byte{accessKey: []byte(canary)},
		},
	}
}

func (o *objects) client() client.WithWatch {
	b := fake.NewClientBuilder().WithScheme(kinds).WithStatusSubresource(&v1alpha1.Session{}).
		WithTypeConverters(applyconfiguration.NewTypeConverter(kinds), managedfields.NewDeducedTypeConverter())
	for _, object := range []client.Object{o.pod, o.session, o.namespace, o.provider, o.credential, o.secret} {
		b.WithObjects(object)
	}
	return b.Build()
}

// stage is a gateway between an agent and a provider.
type stage struct {
	t *testing.T
	*Server
	*objects
	api      client.WithWatch
	front    string
	upstream *upstreamServer
	agent    *http.Client
	told     *told
	owners   *owners
}

// owners says what owners may use: at first everything.
type owners struct {
	mu     sync.Mutex
	denied bool
	err    error
	asked  []string
}

func (o *owners) May(_ context.Context, who *v1alpha1.Owner, use owner.Use) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if who == nil {
		return false, nil
	}
	o.asked = append(o.asked, who.Username+" "+use.Resource+" "+use.Name)
	return !o.denied, o.err
}

// answer changes what is said.
func (o *owners) answer(denied bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.denied, o.err = denied, err
}

// told is all that the gateway says to people.
type told struct {
	mu     sync.Mutex
	events []string
	logs   bytes.Buffer
}

func (r *told) Eventf(regarding, _ kruntime.Object, eventType, reason, action, note string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	session, _ := regarding.(*v1alpha1.Session)
	r.events = append(r.events, fmt.Sprintf("%s %s %s %s: ", session.GetName(), eventType, reason, action)+fmt.Sprintf(note, args...))
}

func (r *told) log(prefix, args string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(&r.logs, prefix, args)
}

func (r *told) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *told) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logs.String()
}

// tokens reviews the one token that there is.
func tokens(r *http.Request) (*authenticator.Response, bool, error) {
	if r.Header.Get("Authorization") != "Bearer "+podToken {
		return nil, false, nil
	}
	r.Header.Del("Authorization")
	audiences, _ := authenticator.AudiencesFrom(r.Context())
	return &authenticator.Response{Audiences: audiences, User: &user.DefaultInfo{
		Name:  "system:serviceaccount:" + build.Namespace + ":default",
		Extra: map[string][]string{serviceaccount.PodNameKey: {"fix-login-1"}, serviceaccount.PodUIDKey: {"uid-of-pod"}},
	}}, true, nil
}

// newStage is a gateway whose provider answers as it is told, after changes to what the API server has.
func newStage(t *testing.T, answer http.HandlerFunc, changes ...func(*objects)) *stage {
	t.Helper()
	return stageWith(t, newUpstream(t, answer, nil), changes...)
}

func stageWith(t *testing.T, upstream *upstreamServer, changes ...func(*objects)) *stage {
	t.Helper()
	o := newObjects(upstream.host, upstream.port)
	for _, change := range changes {
		change(o)
	}
	api := o.client()
	told, owners := &told{}, &owners{}
	s := &stage{t: t, objects: o, api: api, upstream: upstream, told: told, owners: owners, agent: newAgent(), Server: &Server{
		Fence:    func(context.Context) error { return nil },
		Identity: &identity.Authenticator{Tokens: authenticator.RequestFunc(tokens), Cache: api, Live: api},
		Cache:    api, Live: api, Access: owners, Ledger: ledger.New(api, api, clock.RealClock{}), Limits: limit.New(api, api, api, clock.RealClock{}, "gateway"),
		Pulse:   &pulse.Pulse{Cache: api, Writer: api, Clock: clock.RealClock{}, Pod: "gateway", UID: "uid", Trouble: &pulse.Trouble{Clock: clock.RealClock{}}},
		Witness: witness.New(api, clock.RealClock{}, "gateway", "uid"), Recorder: told, Clock: clock.RealClock{}, Metrics: NewMetrics(),
		Log: funcr.New(told.log, funcr.Options{}),
	}}
	front := httptest.NewServer(s.Server)
	s.front = front.URL
	t.Cleanup(func() {
		s.agent.CloseIdleConnections()
		front.CloseClientConnections()
		front.Close()
		for _, u := range s.upstreams.byName {
			u.close()
		}
		s.noSecretTold()
	})
	return s
}

func newAgent() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableCompression: true, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// noSecretTold looks for the key and the token in all that people can read (I2).
func (s *stage) noSecretTold() {
	s.t.Helper()
	texts := append(s.told.list(), s.told.logged(), s.metrics())
	sessions := &v1alpha1.SessionList{}
	if err := s.api.List(context.Background(), sessions); err != nil {
		s.t.Error(err)
	}
	for _, text := range append(texts, fmt.Sprintf("%+v", sessions.Items)) {
		if holdsKey(text) || strings.Contains(text, podToken) {
			s.t.Errorf("a secret is told:\n%s", text)
		}
	}
}

func holdsKey(text string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(canary)) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(canary))[:40])
}

// metrics are those of the gateway, as text.
func (s *stage) metrics() string {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.Metrics)
	families, err := registry.Gather()
	if err != nil {
		s.t.Error(err)
	}
	var b strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			fmt.Fprintf(&b, "%s{", strings.TrimPrefix(f.GetName(), "sandkeep_gateway_"))
			for _, l := range m.GetLabel() {
				fmt.Fprintf(&b, "%s=%s,", l.GetName(), l.GetValue())
			}
			fmt.Fprintf(&b, "} %v\n", m.GetCounter().GetValue())
		}
	}
	return b.String()
}

// counts fails unless a metric is there, as metrics writes it.
func (s *stage) counts(line string) {
	s.t.Helper()
	s.eventually("metric "+line, func() bool { return slices.Contains(strings.Split(s.metrics(), "\n"), line) })
}

func (s *stage) eventually(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not come; metrics:\n%s", what, s.metrics())
		}
	}
}

// request is one of the agent's, as sandboxd sends it on.
func (s *stage) request(method, path, body string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.front+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+podToken)
	return r
}

// answer is what the agent got of a response.
type answer struct {
	*http.Response
	body string
	cut  bool
}

// read reads a response to its end.
func (s *stage) read(r *http.Response, err error) answer {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	var head bytes.Buffer
	_ = r.Header.Write(&head)
	_ = r.Trailer.Write(&head)
	if holdsKey(head.String()) || holdsKey(string(text)) {
		s.t.Errorf("the agent got the key:\n%s\n%s", head.String(), text)
	}
	return answer{r, string(text), err != nil}
}

func (s *stage) do(r *http.Request) answer {
	s.t.Helper()
	return s.read(s.agent.Do(r))
}

func (s *stage) post(body string) answer {
	s.t.Helper()
	return s.do(s.request(http.MethodPost, messages, body))
}

// upstreamServer is the provider, at an address of this machine that the gateway may connect to.
type upstreamServer struct {
	*httptest.Server
	host string
	port int32

	mu   sync.Mutex
	seen []string
}

// newUpstream is a provider, by TLS when it has a certificate.
func newUpstream(t *testing.T, answer http.HandlerFunc, configure func(*httptest.Server)) *upstreamServer {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() { noGoroutineLeft(t, before) })
	u := &upstreamServer{host: outside(t)}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var head bytes.Buffer
		_ = r.Header.Write(&head)
		u.mu.Lock()
		u.seen = append(u.seen, r.Method+" "+r.RequestURI+" "+r.Proto+"\nHost: "+r.Host+"\n"+strings.ReplaceAll(head.String(), "\r\n", "\n"))
		u.mu.Unlock()
		answer(w, r)
	}))
	_ = u.Listener.Close()
	listener, err := net.Listen("tcp", net.JoinHostPort(u.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	u.Listener = listener
	u.Config.ErrorLog = quietLog()
	if configure == nil {
		u.Start()
	} else {
		configure(u.Server)
		u.StartTLS()
	}
	t.Cleanup(func() { u.CloseClientConnections(); u.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	n, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	u.port = int32(n)
	return u
}

// requests are those that reached the provider.
func (u *upstreamServer) requests() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

// outside is an address of this machine other than loopback, to which the gateway never connects.
func outside(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			return ip.IP.String()
		}
	}
	t.Fatal("this machine has no IPv4 address but loopback; these tests need one")
	return ""
}

// noGoroutineLeft waits until there are no more goroutines than before.
func noGoroutineLeft(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Fatalf("%d goroutines are left:\n%s", runtime.NumGoroutine()-before, stacks.String())
		}
	}
}

func fine(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", json)
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// says answers with a status and a body.
func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}
