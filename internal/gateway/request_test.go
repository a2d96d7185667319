package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
)

func TestTheProviderGetsTheKeyAndNothingThatTheAgentMadeOfIt(t *testing.T) {
	s := newStage(t, fine)
	other := build.Provider("other").With(func(p *v1alpha1.APIProvider) {
		p.Spec.Auth = &v1alpha1.ProviderAuth{APIKey: &v1alpha1.HeaderAuth{Header: "X-Corp-Key"}}
	}).Obj()
	if err := s.api.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	r := s.request(http.MethodPost, messages+"?beta=true&key=stolen&api_key=stolen&X-Api-Key=stolen&broken=%zz", `{"model":"m"}`)
	for name, value := range map[string]string{
		"X-Api-Key": "stolen", "x_api_key": "stolen", "X-Goog-Api-Key": "stolen", "X-Corp-Key": "of another provider", "Api-Key": "stolen", "Cookie": "a=stolen", "Proxy-Authorization": "stolen",
		"Connection": "x-api-key, keep-alive", "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "evil.example", "Forwarded": "for=10.0.0.1", "Via": "1.1 x",
		"Sandkeep-Failure-Class": "x", "X-Http-Method-Override": "DELETE", "Accept-Encoding": "gzip, br", "Range": "bytes=0-1", "Te": "trailers",
		"Anthropic-Version": "2023-06-01", "Content-Type": json, "User-Agent": "agent/1",
	} {
		r.Header[name] = []string{value}
	}
	r.Host = "evil.example"
	if a := s.do(r); a.StatusCode != http.StatusOK || a.body != `{"ok":true}` {
		t.Fatalf("%s: %s", a.Status, a.body)
	}
	want := fmt.Sprintf("POST /v1/messages?beta=true HTTP/1.1\nHost: %s:%d\nAccept-Encoding: identity\nAnthropic-Version: 2023-06-01\nContent-Length: 13\n"+
		"Content-Type: application/json\nUser-Agent: agent/1\nX-Api-Key: %s\n", s.upstream.host, s.upstream.port, canary)
	if diff := cmp.Diff([]string{want}, s.upstream.requests()); diff != "" {
		t.Errorf("what the provider saw (-want +got):\n%s", diff)
	}
	s.counts("requests_total{class=opencode,credential=shared,namespace=team-a,provider=anthropic,status=200,} 1")
}

func TestAProviderGetsItsKeyAsItWantsIt(t *testing.T) {
	cases := map[string]struct {
		auth *v1alpha1.ProviderAuth
		want string
	}{
		"as a bearer token, unless it says so": {nil, "Authorization: Bearer " + canary},
		"in a header of its own":               {&v1alpha1.ProviderAuth{APIKey: &v1alpha1.HeaderAuth{Header: "x-odd", Prefix: "Key "}}, "X-Odd: Key " + canary},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine, func(o *objects) { o.provider.Spec.Auth = c.auth })
			r := s.request(http.MethodPost, messages+"?x-odd=stolen", "")
			r.Header.Set("X-Odd", "stolen")
			s.do(r)
			seen := strings.Join(s.upstream.requests(), "")
			if !strings.Contains(seen, c.want+"\n") || strings.Count(seen, canary) != 1 || strings.Contains(seen, podToken) || (c.auth != nil && strings.Contains(seen, "stolen")) {
				t.Errorf("the provider saw\n%s", seen)
			}
		})
	}
}

// raw sends a request as it is, and reads the answer.
func (s *stage) raw(text string) answer {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.front, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatal(err)
	}
	return s.read(http.ReadResponse(bufio.NewReader(conn), nil))
}

func TestOnlyWhatAnAdminListedPasses(t *testing.T) {
	const providers = contract.GatewayProviders
	cases := map[string]struct {
		line   string
		status int
		kind   string
	}{
		"a path that is not listed":          {"POST " + providers + "anthropic/v1/files", 404, "not_found_error"},
		"another method":                     {"DELETE " + providers + "anthropic/v1/messages", 405, "invalid_request_error"},
		"a path below":                       {"POST " + providers + "anthropic/v1/messages/batches", 404, "not_found_error"},
		"dots":                               {"POST " + providers + "anthropic/v1/files/../messages", 404, "not_found_error"},
		"dots to another provider":           {"POST " + providers + "anthropic/../openai/v1/messages", 404, "not_found_error"},
		"encoded dots":                       {"GET " + providers + "anthropic/v1/models/%2e%2e", 404, "not_found_error"},
		"encoded dots, encoded again":        {"GET " + providers + "anthropic/v1/models/%252e%252e", 404, "not_found_error"},
		"an encoded slash":                   {"GET " + providers + "anthropic/v1/models/x%2F..%2Ffiles", 404, "not_found_error"},
		"an encoded slash beside odd bytes":  {"GET " + providers + "anthropic/v1/models/x%2Fy[", 404, "not_found_error"},
		"an encoded line break":              {"GET " + providers + "anthropic/v1/models/x%0d%0aHost:%20evil.example", 404, "not_found_error"},
		"a backslash":                        {"GET " + providers + `anthropic/v1/models/..\files`, 404, "not_found_error"},
		"a path parameter":                   {"GET " + providers + "anthropic/v1/models/..;x", 404, "not_found_error"},
		"an empty part":                      {"POST " + providers + "anthropic//v1/messages", 404, "not_found_error"},
		"nothing behind the provider":        {"GET " + providers + "anthropic", 404, "not_found_error"},
		"another provider":                   {"POST " + providers + "openai/v1/messages", 403, ""},
		"no provider":                        {"POST " + providers + "/v1/messages", 404, ""},
		"an encoded provider":                {"POST " + providers + "%61nthropic/v1/messages", 403, ""},
		"a provider in another namespace":    {"POST " + providers + "team-b%2Fanthropic/v1/messages", 403, ""},
		"an absolute URL":                    {"POST http://evil.example" + providers + "anthropic/v1/messages", 404, ""},
		"two slashes at the beginning":       {"POST /" + providers + "anthropic/v1/messages", 404, ""},
		"a path of the provider's":           {"POST /v1/messages", 404, ""},
		"a tunnel":                           {"CONNECT evil.example:443", 404, ""},
		"a trace":                            {"TRACE " + providers + "anthropic/v1/messages", 405, "invalid_request_error"},
		"a heartbeat by GET":                 {"GET " + contract.GatewayHeartbeat, 405, ""},
		"a key by GET":                       {"GET " + contract.GatewayKey, 405, ""},
		"a path below that of keys":          {"POST " + contract.GatewayKey + "/anthropic", 404, ""},
		"a path below the heartbeat":         {"POST " + contract.GatewayHeartbeat + "/x", 404, ""},
		"a listed path with dots in a query": {"POST " + providers + "anthropic/v1/messages?x=/../", 200, ""},
		"a listed path, partly encoded":      {"POST " + providers + "anthropic/v1/%6dessages", 200, ""},
	}
	s := newStage(t, fine)
	passed := 0
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := s.raw(c.line + " HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\nConnection: close\r\nAuthorization: Bearer " + podToken + "\r\n\r\n")
			if a.StatusCode != c.status || (c.kind != "" && !strings.Contains(a.body, `"type":"`+c.kind+`"`)) {
				t.Errorf("%s: %s", a.Status, a.body)
			}
			if allow := a.Header.Get("Allow"); (c.status == 405) != (allow != "") {
				t.Errorf("Allow: %q", allow)
			}
			if c.status == 200 {
				passed++
			}
		})
	}
	if got := s.upstream.requests(); len(got) != passed {
		t.Errorf("%d requests reached the provider:\n%s", len(got), strings.Join(got, "\n"))
	}
}

func TestI3WhoProvesNothingIsToldNothing(t *testing.T) {
	cases := map[string]struct {
		token  string
		change func(*objects)
		status int
		metric string
		event  bool
	}{
		"no token":                    {"", func(*objects) {}, 401, "Token", false},
		"the token of somebody":       {"Bearer other", func(*objects) {}, 401, "Token", false},
		"the placeholder":             {"Bearer " + contract.Placeholder, func(*objects) {}, 401, "Token", false},
		"a pod that has ended":        {"Bearer " + podToken, func(o *objects) { o.pod.Status.Phase = corev1.PodFailed }, 401, "NotLive", true},
		"a token from another pod":    {"Bearer " + podToken, func(o *objects) { o.pod.Status.PodIPs[0].IP = "10.9.9.9" }, 401, "Address", true},
		"a pod that is not known":     {"Bearer " + podToken, func(o *objects) { o.pod.UID = "uid-after" }, 401, "NoPod", false},
		"a pod that is not known yet": {"Bearer " + podToken, func(o *objects) { o.session.Status.PodUID = "" }, 503, "NotYet", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine, c.change)
			for _, path := range []string{messages, contract.GatewayHeartbeat, contract.GatewayReport, contract.GatewayKey} {
				r := s.request(http.MethodPost, path, "")
				r.Header.Set("Authorization", c.token)
				a := s.do(r)
				if a.StatusCode != c.status || (a.Header.Get("Retry-After") != "") != (c.status == 503) {
					t.Errorf("%s: %s %s", path, a.Status, a.body)
				}
			}
			s.counts("callers_turned_away_total{reason=" + c.metric + ",} 4")
			if got := s.told.list(); len(got) > 0 != c.event || len(s.upstream.requests()) > 0 {
				t.Errorf("events %q", got)
			}
		})
	}
}

// TestTheLastWordOfASandboxIsNoWarning: its pod is on its way out when it reports, where somebody suspends or deletes the Session.
func TestTheLastWordOfASandboxIsNoWarning(t *testing.T) {
	s := newStage(t, fine, func(o *objects) { o.pod.Status.Phase = corev1.PodFailed })
	if a := s.do(s.request(http.MethodPost, contract.GatewayReport, "{}")); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s: %s", a.Status, a.body)
	}
	if events := s.told.list(); len(events) != 0 {
		t.Errorf("people are warned: %v", events)
	}
	s.counts("callers_turned_away_total{reason=NotLive,} 1")
}

func TestI4WhatIsTakenBackIsRefusedAtTheNextRequest(t *testing.T) {
	cases := map[string]struct {
		takeBack func(*stage) client.Object
		reason   string
		gone     bool
	}{
		"the namespace is not allowed any more": {func(s *stage) client.Object {
			s.credential.Spec.Allow = nil
			return s.credential
		}, v1alpha1.ReasonCredentialNotAllowed, false},
		"the provider moved":     {func(s *stage) client.Object { s.endpoint().Host = "evil.example"; return s.provider }, v1alpha1.ReasonEndpointsChanged, false},
		"the credential is gone": {func(s *stage) client.Object { return s.credential }, v1alpha1.ReasonCredentialNotFound, true},
		"the Secret is gone":     {func(s *stage) client.Object { return s.secret }, v1alpha1.ReasonSecretNotFound, true},
		"the provider is gone":   {func(s *stage) client.Object { return s.provider }, v1alpha1.ReasonProviderNotFound, true},
		"the key was broken": {func(s *stage) client.Object {
			s.secret.Data[accessKey] = []byte(canary + "\n")
			return s.secret
		}, v1alpha1.ReasonKeyMalformed, false},
		"the key was taken out": {func(s *stage) client.Object { delete(s.secret.Data, accessKey); return s.secret }, v1alpha1.ReasonSecretNotFound, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine)
			if a := s.post(""); a.StatusCode != http.StatusOK {
				t.Fatalf("before: %s %s", a.Status, a.body)
			}
			o := c.takeBack(s)
			s.write(o, c.gone)
			a := s.post("")
			if a.StatusCode != http.StatusForbidden || a.Header.Get(contract.HeaderFailureClass) != string(contract.ProviderAuthenticationFailed) {
				t.Errorf("after: %s %s", a.Status, a.body)
			}
			s.counts("refusals_total{class=opencode,namespace=team-a,provider=anthropic,reason=" + c.reason + ",} 1")
			if got := len(s.upstream.requests()); got != 1 {
				t.Errorf("%d requests reached the provider", got)
			}
		})
	}
}

func TestI4AnOwnerWhoMayNoLongerUseAKeyIsRefusedAtTheNextRequest(t *testing.T) {
	s := newStage(t, fine)
	if a := s.post(""); a.StatusCode != http.StatusOK {
		t.Fatalf("before: %s %s", a.Status, a.body)
	}
	s.owners.answer(true, nil)
	a := s.post("")
	if a.StatusCode != http.StatusForbidden || a.Header.Get(contract.HeaderFailureClass) != string(contract.ProviderAuthenticationFailed) {
		t.Errorf("after: %s %s", a.Status, a.body)
	}
	if want := "kubectl create clusterrolebinding"; !strings.Contains(a.Header.Get(contract.HeaderFailureMessage), want) {
		t.Errorf("it says %q, want %q in it", a.Header.Get(contract.HeaderFailureMessage), want)
	}
	s.counts("refusals_total{class=opencode,namespace=team-a,provider=anthropic,reason=CredentialNotAllowed,} 1")
	s.owners.answer(false, nil)
	if a := s.post(""); a.StatusCode != http.StatusOK || len(s.upstream.requests()) != 2 {
		t.Errorf("permitted again: %s %s", a.Status, a.body)
	}
	if want := slices.Repeat([]string{"dev@acme.example clustercredentials shared"}, 3); !slices.Equal(s.owners.asked, want) {
		t.Errorf("asked %q, want %q", s.owners.asked, want)
	}
}

func TestI4WhileNobodyKnowsWhatAnOwnerMayUseNothingIsSent(t *testing.T) {
	s := newStage(t, fine)
	s.owners.answer(false, errors.New("the API server is down"))
	a := s.post("")
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || len(s.upstream.requests()) > 0 {
		t.Errorf("%s, to be tried again after %q: %s", a.Status, a.Header.Get("Retry-After"), a.body)
	}
}

func TestI4ASessionWithoutAnOwnerUsesNoKeyOfAnAdmin(t *testing.T) {
	s := newStage(t, fine, func(o *objects) { o.session.Spec.Owner = nil })
	if a := s.post(""); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "has no owner") || len(s.upstream.requests()) > 0 {
		t.Errorf("%s %s", a.Status, a.body)
	}
}

// write changes an object, or deletes it.
func (s *stage) write(o client.Object, gone bool) {
	s.t.Helper()
	now := o.DeepCopyObject().(client.Object)
	if err := s.api.Get(s.t.Context(), client.ObjectKeyFromObject(o), now); err != nil {
		s.t.Fatal(err)
	}
	o.SetResourceVersion(now.GetResourceVersion())
	act := func() error { return s.api.Update(s.t.Context(), o) }
	if gone {
		act = func() error { return s.api.Delete(s.t.Context(), o) }
	}
	if err := act(); err != nil {
		s.t.Fatal(err)
	}
}

func TestASecretOfAnotherKindIsNoKey(t *testing.T) {
	s := newStage(t, fine, func(o *objects) { o.secret.Type = corev1.SecretTypeTLS })
	if a := s.post(""); a.StatusCode != http.StatusForbidden || len(s.upstream.requests()) > 0 {
		t.Errorf("%s: %s", a.Status, a.body)
	}
}

func TestAChangedKeyIsUsedByTheNextRequest(t *testing.T) {
	s := newStage(t, fine)
	s.post("")
	s.secret.Data[accessKey] = []byte("sk-ant-api03-the-next-one")
	s.write(s.secret, false)
	s.post("")
	seen := s.upstream.requests()
	if len(seen) != 2 || !strings.Contains(seen[0], canary) || !strings.Contains(seen[1], "X-Api-Key: sk-ant-api03-the-next-one\n") {
		t.Errorf("the provider saw\n%s", strings.Join(seen, "\n"))
	}
	secret := &corev1.Secret{}
	if err := s.api.Get(t.Context(), client.ObjectKeyFromObject(s.secret), secret); err != nil {
		t.Fatal(err)
	}
	s.eventually("the new revision in credentialsInUse", func() bool { // an answer is counted when its end has been read
		session := &v1alpha1.Session{}
		if err := errors.Join(s.Ledger.Flush(t.Context(), s.session.UID, uuid.NewUUID()), s.api.Get(t.Context(), client.ObjectKeyFromObject(s.session), session)); err != nil {
			t.Fatal(err)
		}
		got := session.Status.CredentialsInUse
		return len(got) == 1 && got[0].Revision == secret.ResourceVersion
	})
}

func TestI2AChangedKeyIsLookedForInTheNextAnswer(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		says(200, json, `{"you":"`+r.Header.Get("X-Api-Key")+`"}`)(w, r)
	})
	for i, key := range []string{canary, "sk-ant-api03-the-next-one"} {
		s.secret.Data[accessKey] = []byte(key)
		s.write(s.secret, false)
		if a := s.post(""); !a.cut || strings.Contains(a.body, key) {
			t.Errorf("got %q", a.body)
		}
		s.counts(fmt.Sprintf("keys_echoed_total{namespace=team-a,provider=anthropic,} %d", i+1))
	}
}

func TestTheKeyOfANamespaceIsReadThereAndNowhereElse(t *testing.T) {
	s := newStage(t, fine, func(o *objects) {
		o.session.Status.Credentials[0].Ref = v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: "own"}
	})
	own := build.Credential("own").Ready().With(func(c *v1alpha1.Credential) { c.Status.Hosts = []string{s.upstream.host} }).Obj()
	theirs := build.Credential("own").Namespace("team-b").Secret("anthropic", accessKey).Ready().Obj()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: build.Namespace, Name: "own"}, Data: map[string][]byte{accessKey: []byte("sk-of-team-a")}}
	for _, o := range []client.Object{own, theirs, secret} {
		if err := s.api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.post("")
	if seen := strings.Join(s.upstream.requests(), ""); !strings.Contains(seen, "X-Api-Key: sk-of-team-a\n") {
		t.Errorf("the provider saw\n%s", seen)
	}
}
