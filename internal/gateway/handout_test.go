package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/grant"
)

const (
	env  = v1alpha1.DeliveryEnv
	file = v1alpha1.DeliveryFile
)

// handed makes the Session one that was given an admin's key in a delivery in which the sandbox gets it.
func handed(d v1alpha1.Delivery) func(*objects) {
	return func(o *objects) {
		o.session.Status.Credentials[0].Delivery = d
		o.credential.Spec.Deliveries = []v1alpha1.Delivery{v1alpha1.DeliveryProxy, env, file}
	}
}

// handout is what a sandbox got that asked for a key.
type handout struct {
	*http.Response
	body string
	key  contract.Key
}

// ask asks as sandboxd does. Unlike the agent, it may find the key in the answer.
func (s *stage) ask(body string) handout {
	s.t.Helper()
	r, err := s.agent.Do(s.request(http.MethodPost, contract.GatewayKey, body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	h := handout{Response: r, body: string(text)}
	if r.StatusCode == http.StatusOK {
		if h.key, err = contract.DecodeKey(text); err != nil {
			s.t.Fatal(err)
		}
	}
	if got := r.Header.Get("Cache-Control"); got != "no-store" {
		s.t.Errorf("Cache-Control: %q", got)
	}
	if len(s.upstream.requests()) > 0 {
		s.t.Error("the provider was asked")
	}
	return h
}

// holds asks with a revision of the key, and without one when it is empty.
func (s *stage) holds(revision string) handout {
	s.t.Helper()
	return s.ask(fmt.Sprintf(`{"provider":"anthropic","revision":%q}`, revision))
}

// revision is that of the key now.
func (s *stage) revision() string {
	s.t.Helper()
	if err := s.api.Get(s.t.Context(), client.ObjectKeyFromObject(s.secret), s.secret); err != nil {
		s.t.Fatal(err)
	}
	return s.secret.ResourceVersion
}

func TestI4ASandboxIsGivenItsOwnKey(t *testing.T) {
	for _, delivery := range []v1alpha1.Delivery{env, file} {
		t.Run(string(delivery), func(t *testing.T) {
			s := newStage(t, fine, handed(delivery))
			got := s.holds("")
			want := contract.Key{Provider: "anthropic", Delivery: contract.Delivery(delivery), Revision: s.revision(), Value: canary}
			if got.StatusCode != http.StatusOK || got.key != want {
				t.Errorf("%s, with the right key: %t", got.Status, got.key == want)
			}
			if a := s.post(""); a.StatusCode != http.StatusForbidden {
				t.Errorf("a request with that key by Proxy: %s", a.Status)
			}
		})
	}
}

// withholdings are what keeps the gateway from handing out a key, and the reason that it counts.
var withholdings = map[string]struct {
	change func(*objects)
	reason string
}{
	"the key is to stay in the gateway": {handed(v1alpha1.DeliveryProxy), v1alpha1.ReasonCredentialNotAllowed},
	"nobody wrote how it is delivered":  {handed(""), v1alpha1.ReasonCredentialNotAllowed},
	"the Session was given none":        {func(o *objects) { o.session.Status.Credentials = nil }, v1alpha1.ReasonCredentialNotAllowed},
	"it was given one for another provider": {func(o *objects) {
		o.session.Status.Credentials[0].Provider = "openai"
	}, v1alpha1.ReasonCredentialNotAllowed},
	"it was given one of its namespace": {func(o *objects) {
		o.session.Status.Credentials[0].Ref.Kind = v1alpha1.CredentialKindCredential
	}, v1alpha1.ReasonCredentialNotAllowed},
	"the credential permits another delivery": {func(o *objects) {
		o.credential.Spec.Deliveries = []v1alpha1.Delivery{v1alpha1.DeliveryProxy, env}
	}, v1alpha1.ReasonCredentialNotAllowed},
	"the credential says nothing of deliveries": {func(o *objects) { o.credential.Spec.Deliveries = nil }, v1alpha1.ReasonCredentialNotAllowed},
	"the namespace is not allowed":              {func(o *objects) { o.credential.Spec.Allow = nil }, v1alpha1.ReasonCredentialNotAllowed},
	"the Session has no owner":                  {func(o *objects) { o.session.Spec.Owner = nil }, v1alpha1.ReasonCredentialNotAllowed},
	"the credential is another":                 {func(o *objects) { o.credential.Name = "another" }, v1alpha1.ReasonCredentialNotFound},
	"the provider has moved":                    {func(o *objects) { o.credential.Status.Hosts = []string{"old.example"} }, v1alpha1.ReasonEndpointsChanged},
	"the key is of a kind that is denied": {func(o *objects) {
		o.credential.Status.Conditions[0].Status, o.credential.Status.Conditions[0].Reason = metav1.ConditionFalse, v1alpha1.ReasonTokenKindDenied
	}, v1alpha1.ReasonTokenKindDenied},
	"the Secret is another":        {func(o *objects) { o.secret.Name = "another" }, v1alpha1.ReasonSecretNotFound},
	"the Secret is of no key":      {func(o *objects) { o.secret.Type = "Opaque" }, v1alpha1.ReasonSecretNotFound},
	"the Secret has another entry": {func(o *objects) { o.secret.Data = map[string][]byte{"other": []byte(canary)} }, v1alpha1.ReasonSecretNotFound},
}

func TestI4NoOtherKeyIsHandedOut(t *testing.T) {
	for name, c := range withholdings {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine, handed(file), c.change)
			for _, revision := range []string{"", "1"} {
				got := s.holds(revision)
				if got.StatusCode != http.StatusForbidden || holdsKey(got.body) {
					t.Errorf("%s", got.Status)
				}
				if class := got.Header.Get(contract.HeaderFailureClass); class != string(contract.ProviderAuthenticationFailed) || got.Header.Get(contract.HeaderFailureMessage) == "" {
					t.Errorf("class %q, message %q", class, got.Header.Get(contract.HeaderFailureMessage))
				}
			}
			if !strings.Contains(s.metrics(), "reason="+c.reason+",} 2") {
				t.Errorf("counted:\n%s", s.metrics())
			}
			s.inUse()
			told := strings.Contains(strings.Join(s.told.list(), "\n"), "Warning "+c.reason+` HandOut: The key of provider "anthropic" is not handed out: `)
			if given := grant.PinOf(s.session, "anthropic") != nil; told != given {
				t.Errorf("an event tells of it: %t; the Session was given the credential: %t:\n%s", told, given, s.told.list())
			}
		})
	}
}

func TestI4AnotherSessionsKeyIsNotHandedOut(t *testing.T) {
	s := newStage(t, fine, handed(file))
	other := build.Session("other").With(func(o *v1alpha1.Session) {
		o.Status.Credentials = []v1alpha1.ResolvedCredential{s.session.Status.Credentials[0]}
	}).Obj()
	if err := s.api.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	s.session.Status.Credentials = nil
	if err := s.api.Status().Update(t.Context(), s.session); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"provider":"anthropic"}`, `{"provider":"anthropic","session":"other"}`, `{"provider":"team-a/anthropic"}`} {
		if got := s.ask(body); got.StatusCode != http.StatusForbidden || holdsKey(got.body) {
			t.Errorf("%s is answered with %s", body, got.Status)
		}
	}
}

func TestI4RevocationEndsTheHandingOut(t *testing.T) {
	for name, r := range revocations {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine, handed(file))
			if got := s.holds(""); got.key.Value != canary {
				t.Fatalf("before: %s", got.Status)
			}
			if err := r.change(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if got := s.holds(""); got.StatusCode/100 != 4 || holdsKey(got.body) {
				t.Errorf("after: %s", got.Status)
			}
		})
	}
}

func TestI4AnOwnerWhoMayNoLongerUseAKeyIsNotHandedIt(t *testing.T) {
	s := newStage(t, fine, handed(file))
	s.owners.answer(true, nil)
	if got := s.holds(""); got.StatusCode != http.StatusForbidden || holdsKey(got.body) {
		t.Errorf("denied: %s", got.Status)
	}
	s.owners.answer(false, errors.New("the API server is down"))
	if got := s.holds(""); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || holdsKey(got.body) {
		t.Errorf("nobody knows: %s", got.Status)
	}
	s.owners.answer(false, nil)
	if got := s.holds(""); got.key.Value != canary {
		t.Errorf("permitted: %s", got.Status)
	}
}

// What passes by itself bears no class: sandboxd asks again.
func TestAKeyThatIsBeingCheckedIsWaitedFor(t *testing.T) {
	s := newStage(t, fine, handed(file), func(o *objects) { o.credential.Status.Conditions = nil })
	got := s.holds("")
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || got.Header.Get(contract.HeaderFailureClass) != "" {
		t.Errorf("%s, %v", got.Status, got.Header)
	}
}

func TestWhatIsNoRequestForAKeyIsRefused(t *testing.T) {
	s := newStage(t, fine, handed(file))
	for _, body := range []string{"", "{", `"anthropic"`, `{}`, `{"provider":7}`, `{"x":"` + strings.Repeat("x", 8<<10) + `","provider":"anthropic"}`} {
		if got := s.ask(body); got.StatusCode != http.StatusBadRequest || holdsKey(got.body) {
			t.Errorf("%.20q is answered with %s", body, got.Status)
		}
	}
}

// inUse compares status.credentialsInUse with revisions that were acknowledged.
func (s *stage) inUse(revisions ...string) {
	s.t.Helper()
	if err := s.Ledger.Flush(s.t.Context(), s.session.UID, uuid.NewUUID()); err != nil {
		s.t.Fatal(err)
	}
	session := &v1alpha1.Session{}
	if err := s.api.Get(s.t.Context(), client.ObjectKeyFromObject(s.session), session); err != nil {
		s.t.Fatal(err)
	}
	var want []v1alpha1.CredentialInUse
	for _, revision := range revisions {
		want = append(want, v1alpha1.CredentialInUse{
			Provider: "anthropic", Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: "shared"}, Revision: revision,
		})
	}
	if diff := cmp.Diff(want, session.Status.CredentialsInUse, cmpopts.IgnoreFields(v1alpha1.CredentialInUse{}, "LastUsedTime")); diff != "" {
		s.t.Errorf("credentialsInUse (-want +got):\n%s", diff)
	}
	for _, c := range session.Status.CredentialsInUse {
		if c.LastUsedTime == nil || time.Since(c.LastUsedTime.Time) > time.Minute {
			s.t.Errorf("lastUsedTime is %v", c.LastUsedTime)
		}
	}
	if session.Status.Usage != nil || session.Status.LastActivityTime != nil {
		s.t.Errorf("usage %+v and activity %v are told, though nothing was asked of the provider", session.Status.Usage, session.Status.LastActivityTime)
	}
}

func TestWhatASandboxHasIsInItsStatus(t *testing.T) {
	cases := map[string]struct {
		delivery v1alpha1.Delivery
		// held is what the sandbox has: the key as it was at first or as it is now, or else what is written here.
		held  string
		given bool
		inUse string
	}{
		"nothing yet":                              {file, "", true, ""},
		"a file with the key as it is":             {file, "now", false, "now"},
		"a file with the key as it was":            {file, "first", true, "first"},
		"an environment with the key as it is":     {env, "now", false, "now"},
		"an environment with the key as it was":    {env, "first", false, "first"},
		"a key that this replica does not know of": {file, "99999999999999999999", false, ""},
		"something that is no revision":            {file, "sk-ant-what-ever", true, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine, handed(c.delivery))
			revisions := map[string]string{"first": s.revision()}
			s.secret.Data[accessKey] = []byte(canary + "2")
			if err := s.api.Update(context.Background(), s.secret); err != nil {
				t.Fatal(err)
			}
			revisions["now"] = s.revision()
			held, ok := revisions[c.held]
			if !ok {
				held = c.held
			}
			got := s.holds(held)
			if given := got.key.Value == canary+"2" && got.key.Revision == revisions["now"]; given != c.given || (got.StatusCode == http.StatusNoContent) == c.given {
				t.Errorf("%s; given is %t", got.Status, given)
			}
			if c.inUse == "" {
				s.inUse()
				return
			}
			s.inUse(revisions[c.inUse])
		})
	}
}
