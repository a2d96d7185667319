package meter

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// counts are tallies without their times.
func counts(m *Meter) map[Call][2]int {
	seen := map[Call][2]int{}
	for call, tally := range m.Tallies() {
		seen[call] = [2]int{len(tally.Took), tally.Failed}
	}
	return seen
}

func TestMeterTellsRequestsApart(t *testing.T) {
	tests := map[string]struct {
		method, path string
		status       int
		broken       error
		want         map[Call][2]int
	}{
		"a pod is created":            {"POST", "/api/v1/namespaces/a/pods", 201, nil, map[Call][2]int{{"create", "pods"}: {1, 0}}},
		"a status is applied":         {"PATCH", "/apis/sandkeep.dev/v1alpha1/namespaces/a/sessions/b/status", 200, nil, map[Call][2]int{{"patch", "sessions/status"}: {1, 0}}},
		"a write is refused":          {"PUT", "/api/v1/namespaces/a/pods/b", 409, nil, map[Call][2]int{{"update", "pods"}: {1, 1}}},
		"a write gets no answer":      {"DELETE", "/api/v1/namespaces/a/pods/b", 0, errors.New("cut off"), map[Call][2]int{{"delete", "pods"}: {1, 1}}},
		"one is read":                 {"GET", "/api/v1/nodes/a", 200, nil, map[Call][2]int{{"get", "nodes"}: {1, 0}}},
		"all are listed":              {"GET", "/api/v1/pods", 200, nil, map[Call][2]int{{"list", "pods"}: {1, 0}}},
		"a watch lasts":               {"GET", "/api/v1/pods?watch=true", 200, nil, map[Call][2]int{}},
		"what there is is looked up":  {"GET", "/apis/sandkeep.dev/v1alpha1", 200, nil, map[Call][2]int{}},
		"a question that is no write": {"GET", "/version", 200, nil, map[Call][2]int{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := New(roundTrip(func(*http.Request) (*http.Response, error) {
				if test.broken != nil {
					return nil, test.broken
				}
				return &http.Response{StatusCode: test.status, Body: http.NoBody}, nil
			}), "")
			response, err := m.RoundTrip(httptest.NewRequest(test.method, test.path, http.NoBody))
			if !errors.Is(err, test.broken) {
				t.Errorf("error %v, want %v", err, test.broken)
			}
			if err == nil {
				defer func() { _ = response.Body.Close() }()
			}
			if diff := cmp.Diff(test.want, counts(m)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			m.Reset()
			if seen := counts(m); len(seen) > 0 {
				t.Errorf("after Reset: %v", seen)
			}
		})
	}
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(roundTrip(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Minute)
			return nil, errors.New("cut off")
		}), "")
		for _, path := range []string{"/api/v1/pods", "/api/v1/pods?watch=true"} {
			go func() { _, _ = m.RoundTrip(httptest.NewRequest(http.MethodGet, path, http.NoBody)) }()
		}
		time.Sleep(30 * time.Second)
		if idle := m.Idle(); idle != 0 {
			t.Errorf("idle for %s with a request under way", idle)
		}
		time.Sleep(35 * time.Second)
		if idle := m.Idle(); idle != 5*time.Second {
			t.Errorf("idle for %s, want 5s", idle)
		}
	})
}

func TestWrites(t *testing.T) {
	for verb, want := range map[string]bool{"create": true, "patch": true, "update": true, "delete": true, "deletecollection": true, "get": false, "list": false} {
		if got := (Call{Verb: verb}).Writes(); got != want {
			t.Errorf("%s writes: %t, want %t", verb, got, want)
		}
	}
}

// throughGate is a client that goes through a gate to an API server, with nothing but the gate's kubeconfig.
func throughGate(t *testing.T, server http.Handler) (*Gate, *rest.Config, kubernetes.Interface) {
	t.Helper()
	apiServer := httptest.NewServer(server)
	t.Cleanup(apiServer.Close)
	g, err := Open(t.Context(), &rest.Config{Host: apiServer.URL + "/deep", BearerToken: "of-an-admin"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := g.WriteKubeconfig(file); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return g, config, clientset
}

func TestGateHandsOnAndCounts(t *testing.T) {
	g, _, client := throughGate(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/deep/api/v1/namespaces/a/pods" || r.Header.Get("Authorization") != "Bearer of-an-admin" {
			http.Error(w, r.URL.Path, http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b"}}`)
	}))
	pod, err := client.CoreV1().Pods("a").Create(t.Context(), &corev1.Pod{}, metav1.CreateOptions{})
	if err != nil || pod.Name != "b" {
		t.Fatalf("pod %q and error %v", pod.Name, err)
	}
	if diff := cmp.Diff(map[Call][2]int{{"create", "pods"}: {1, 0}}, counts(g.Meter)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestGateIsClosedToWhoDoesNotKnowIt(t *testing.T) {
	g, config, _ := throughGate(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let through") }))
	for _, secret := range []string{"", "/GUESSED"} {
		address := config.Host[:strings.LastIndex(config.Host, "/")] + secret
		client, err := kubernetes.NewForConfig(&rest.Config{Host: address})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Pods("a").List(t.Context(), metav1.ListOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%q: error %v, want not found", secret, err)
		}
	}
	if seen := counts(g.Meter); len(seen) > 0 {
		t.Errorf("counted: %v", seen)
	}
}

func TestGateLetsWatchesThroughAsTheyCome(t *testing.T) {
	held := make(chan struct{})
	_, _, client := throughGate(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b"}}}`+"\n")
		w.(http.Flusher).Flush()
		select {
		case <-held:
		case <-r.Context().Done():
		}
	}))
	defer close(held)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watcher, err := client.CoreV1().Pods("a").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	if event := <-watcher.ResultChan(); event.Type != "ADDED" {
		t.Errorf("event %v", event)
	}
}
