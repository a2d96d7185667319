package door

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

func TestTheGatewayIsAskedForAKey(t *testing.T) {
	key := contract.Key{Provider: "acme", Delivery: contract.DeliveryFile, Revision: "7", Value: canary}
	whole, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		status  int
		header  map[string]string
		body    string
		want    *contract.Key
		class   contract.FailureClass
		message string
	}{
		"there is one":                  {status: 200, body: string(whole), want: &key},
		"there is no other one":         {status: 204},
		"the answer is cut":             {status: 200, body: string(whole[:len(whole)-3]), class: contract.ProviderUnavailable, message: "The gateway's answer holds no key"},
		"the answer holds none":         {status: 200, body: `{"provider":"acme","revision":"7"}`, class: contract.ProviderUnavailable, message: "The gateway's answer holds no key"},
		"the answer is of no revision":  {status: 200, body: `{"value":"` + canary + `"}`, class: contract.ProviderUnavailable, message: "The gateway's answer holds no key"},
		"the answer is endless":         {status: 200, body: `{"value":"` + strings.Repeat("x", 100<<10) + `","revision":"7"}`, class: contract.ProviderUnavailable, message: "The gateway's answer holds no key"},
		"the Session must not have it":  {403, map[string]string{contract.HeaderFailureClass: "ProviderAuthenticationFailed", contract.HeaderFailureMessage: "It is not for you"}, "", nil, contract.ProviderAuthenticationFailed, "It is not for you"},
		"the pod is turned away":        {status: 401, body: `{"error":{"message":"The pod has ended"}}`, class: contract.ProviderUnavailable, message: "The gateway answers with status 401: The pod has ended"},
		"the gateway says nothing more": {status: 500, class: contract.ProviderUnavailable, message: "The gateway answers with status 500: "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var asked string
			g := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asked = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
				for name, value := range c.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			got, fault := openDoor(t, g.contract()).Key(t.Context(), contract.KeyRequest{Provider: "acme", Revision: "6"})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("key (-want +got):\n%s", diff)
			}
			var want *failure.Failure
			if c.class != "" {
				want = &failure.Failure{Class: c.class, Message: c.message}
			}
			if diff := cmp.Diff(want, fault); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
			if want := `POST /v1alpha1/session/key Bearer token-1 {"provider":"acme","revision":"6"}`; asked != want {
				t.Errorf("asked %q, want %q", asked, want)
			}
		})
	}
}

func TestAGatewayThatIsDownHasNoKeys(t *testing.T) {
	g := newGateway(t, ok)
	s := openDoor(t, g.contract())
	g.Close()
	key, fault := s.Key(t.Context(), contract.KeyRequest{Provider: "acme"})
	if key != nil || fault == nil || fault.Class != contract.ProviderUnavailable || !strings.Contains(fault.Message, "connection refused") {
		t.Errorf("got %+v, %+v", key, fault)
	}
}
