package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/gateway"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
	"github.com/sandkeep/sandkeep/internal/gateway/ledger"
	"github.com/sandkeep/sandkeep/internal/gateway/pulse"
)

// reviews is an API server that reviews tokens as the real one does: for the audiences that it is asked about, or else for its own.
type reviews struct {
	asked  []string
	status int
}

func (a *reviews) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.status != 0 {
		w.WriteHeader(a.status)
		return
	}
	review := &authenticationv1.TokenReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	audiences := review.Spec.Audiences
	if len(audiences) == 0 {
		audiences = []string{"https://kubernetes.default.svc"}
	}
	a.asked = append(a.asked, review.Spec.Token+" for "+strings.Join(audiences, ","))
	if "for-"+audiences[0] == review.Spec.Token {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: audiences, User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:" + build.Namespace + ":default",
			Extra: map[string]authenticationv1.ExtraValue{
				"authentication.kubernetes.io/pod-name": {"fix-login-1"}, "authentication.kubernetes.io/pod-uid": {"uid-of-pod"},
			},
		}}
	} else {
		review.Status.Error = "[invalid bearer token, token audiences do not match]"
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

// sandboxes is an authenticator that asks an API server, which knows one live sandbox.
func sandboxes(t *testing.T, api http.Handler) *identity.Authenticator {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	tokens, err := reviewer(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	session := build.Session("fix-login").With(func(s *v1alpha1.Session) { s.Status.PodUID = "uid-of-pod" }).Obj()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: build.Namespace, Name: "fix-login-1", UID: "uid-of-pod", OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("Session")),
		}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.1.2.3"}}},
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(session, pod).Build()
	return &identity.Authenticator{Tokens: tokens, Cache: reader, Live: reader}
}

func TestI3TokensAreReviewedForTheGatewayOnly(t *testing.T) {
	cases := map[string]struct {
		token  string
		status int
		want   string
	}{
		"a token for the gateway":                {"for-" + v1alpha1.TokenAudience, 0, ""},
		"a token for the API server":             {"for-https://kubernetes.default.svc", 0, identity.ReasonToken},
		"a token for somebody else":              {"for-vault", 0, identity.ReasonToken},
		"an API server that refuses the gateway": {"for-" + v1alpha1.TokenAudience, http.StatusForbidden, identity.ReasonNoAnswer},
		"an API server that is down":             {"for-" + v1alpha1.TokenAudience, http.StatusInternalServerError, identity.ReasonNoAnswer},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			api := &reviews{status: c.status}
			a := sandboxes(t, api)
			reason := ""
			for range 2 {
				r := httptest.NewRequest(http.MethodPost, "/", nil)
				r.RemoteAddr = "10.1.2.3:555"
				r.Header.Set("Authorization", "Bearer "+c.token)
				reason = ""
				if _, refused := a.Identify(r); refused != nil {
					reason = refused.Reason
				} else if r.Header.Get("Authorization") != "" {
					t.Error("the token stays on the request")
				}
			}
			if diff := cmp.Diff(c.want, reason); diff != "" {
				t.Errorf("reason (-want +got):\n%s", diff)
			}
			for _, asked := range api.asked {
				if diff := cmp.Diff(c.token+" for "+v1alpha1.TokenAudience, asked); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			}
			if c.want == "" && len(api.asked) != 1 {
				t.Errorf("asked %d times for one token", len(api.asked))
			}
		})
	}
}

// held is an API server that answers no review until it is told to.
type held struct {
	arrived, release chan struct{}
}

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.arrived <- struct{}{}
	<-h.release
	(&reviews{}).ServeHTTP(w, r)
}

func TestFewTokensAreReviewedAtATime(t *testing.T) {
	const callers = maxReviews + 8
	api := &held{make(chan struct{}, callers), make(chan struct{})}
	a := sandboxes(t, api)
	answered := make(chan *identity.Refused, callers)
	for i := range callers {
		go func() {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("Authorization", fmt.Sprintf("Bearer bogus-%d", i))
			_, refused := a.Identify(r)
			answered <- refused
		}()
	}
	for range maxReviews {
		<-api.arrived
	}
	select {
	case <-api.arrived:
		t.Errorf("more than %d reviews are under way", maxReviews)
	case <-time.After(200 * time.Millisecond):
	}
	close(api.release)
	for range callers {
		if refused := <-answered; refused == nil || refused.Reason != identity.ReasonToken {
			t.Errorf("got %v, want that the token is not valid", refused)
		}
	}
}

// informers is a cache that tells of one pod.
type informers struct {
	cache.Cache
	cache.Informer
	pod *corev1.Pod
}

func (i informers) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return i, nil
}

func (i informers) AddEventHandler(h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	h.OnAdd(i.pod, true)
	return nil, nil
}

func TestAFloodFromAPodThatIsNoSandboxDoesNotReachTheAPIServer(t *testing.T) {
	watch := informers{pod: &corev1.Pod{Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "10.1.2.3"}}}}}
	asked := map[string]int{}
	tokens := authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		asked[r.RemoteAddr]++
		return nil, false, nil
	})
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"aud":["` + v1alpha1.TokenAudience + `"]}`))
	for _, anyAddress := range []bool{false, true} {
		clear(asked)
		screen, err := screened(watch, tokens, anyAddress)
		if err != nil {
			t.Fatal(err)
		}
		const flood = 1000
		for _, address := range []string{"10.6.6.6:1", "10.1.2.3:1"} {
			for range flood {
				r := httptest.NewRequest(http.MethodPost, "/", nil)
				r.RemoteAddr = address
				r.Header.Set("Authorization", "Bearer x."+claims+".x")
				_, _, _ = screen.AuthenticateRequest(r)
			}
		}
		if n := asked["10.6.6.6:1"]; (n == flood) != anyAddress || n == 0 {
			t.Errorf("any address %t: asked about %d of %d tokens from a pod that is no sandbox", anyAddress, n, flood)
		}
		if n := asked["10.1.2.3:1"]; n != flood {
			t.Errorf("any address %t: asked about %d of %d tokens from a sandbox", anyAddress, n, flood)
		}
	}
}

func TestTheLastUsageIsWrittenBeforeTheGatewayIsKilled(t *testing.T) {
	text, err := os.ReadFile("../../config/gateway/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	deployment := &appsv1.Deployment{}
	if err := yaml.Unmarshal(text, deployment); err != nil {
		t.Fatal(err)
	}
	stop := *managerOptions(options{}, &pulse.Trouble{Clock: clock.RealClock{}}).GracefulShutdownTimeout
	if stop < gateway.DrainTime+gateway.CutTime+ledger.Interval {
		t.Errorf("the gateway gives up after %s; streams may take %s, and the last write %s", stop, gateway.DrainTime+gateway.CutTime, ledger.Interval)
	}
	if grace := time.Duration(*deployment.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; grace <= stop {
		t.Errorf("the kubelet kills it after %s, before it gives up after %s", grace, stop)
	}
}

func TestTheGatewaySeesSecretsOfTheKeepOnly(t *testing.T) {
	for kind, by := range cacheOptions(&pulse.Trouble{Clock: clock.RealClock{}}).ByObject {
		switch kind.(type) {
		case *corev1.Secret:
			if _, ok := by.Namespaces[v1alpha1.NamespaceKeys]; !ok || len(by.Namespaces) != 1 {
				t.Errorf("Secrets of %v", by.Namespaces)
			}
		case *corev1.Pod:
			if by.Label == nil || by.Label.String() != v1alpha1.LabelSession {
				t.Errorf("pods with %v", by.Label)
			}
		}
	}
}
