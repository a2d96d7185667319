package sandboxd_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// rotatedKey is what the gateway hands out in the place of deliveredKey once that is acknowledged.
const rotatedKey = "sk-rotated-0123456789-ABCDEFGHIJKLMNOP"

// handsOut hands out deliveredKey as revision 1 and, to whoever has that for the second time, rotatedKey as revision 2, as the gateway does in that
// delivery.
func handsOut(d contract.Delivery) func(contract.KeyRequest, http.ResponseWriter) {
	acknowledged := false // a sandbox has one request at a time
	return func(asked contract.KeyRequest, w http.ResponseWriter) {
		key := contract.Key{Provider: asked.Provider, Delivery: d, Revision: "1", Value: deliveredKey}
		if asked.Revision != "" && acknowledged {
			key.Revision, key.Value = "2", rotatedKey
		}
		if asked.Revision == key.Revision || (asked.Revision != "" && d == contract.DeliveryEnv) {
			acknowledged = true
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_ = json.NewEncoder(w).Encode(key)
	}
}

// handed puts the sandbox behind a gateway that hands out the key of the provider acme.
func (s *sandbox) handed(g *gateway, d contract.Delivery) *sandbox {
	s.t.Helper()
	s.behind(g)
	s.config.Credentials = []contract.Credential{{
		Provider: "acme", Delivery: d, ByChannel: true, BaseURL: "https://api.acme.example",
		Env:   []contract.EnvVar{{Name: "API_KEY", Value: "$(API_KEY)"}, {Name: "KEY_FILE", Value: "$(API_KEY_FILE)"}, {Name: "ACME", Value: "$(BASE_URL)/v1"}},
		Files: []contract.FileSpec{{Path: ".acme/auth.json", Content: `{"key":"$(API_KEY)"}`}, {Path: ".acme/url", Content: "$(BASE_URL)"}},
	}}
	return s
}

// expectNoKey looks for both keys in all that leaves the sandbox.
func (s *sandbox) expectNoKey(r contract.Report) {
	s.t.Helper()
	message, err := os.ReadFile(s.dirs.TerminationLog)
	must(s.t, err)
	for _, key := range []string{deliveredKey, rotatedKey} {
		for _, place := range []string{s.out.String(), string(message), r.Message, r.Summary} {
			if strings.Contains(place, key) {
				s.t.Error("a key got out")
			}
		}
	}
}

func TestI2AKeyFromTheGatewayIsInTheAgentsEnvironmentOnly(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.handOut = handsOut(contract.DeliveryEnv)
	s := newSandbox(t, "text", "sayenv API_KEY\nsayenv SANDKEEP_API_KEY_0\nsayenv ACME\nsay "+deliveredKey+" and not "+rotatedKey[:10]+"\nsayfile $HOME/.acme/url").
		handed(g, contract.DeliveryEnv)
	s.env = []string{"API_KEY=of-the-image"}
	s.config.UnsetEnv = []string{"API_KEY"}
	r := s.run()
	wantSuccess(t, r)
	want := "API_KEY=[redacted]\nSANDKEEP_API_KEY_0=\nACME=https://api.acme.example/v1\n[redacted] and not " + rotatedKey[:10] + "\nhttps://api.acme.example<nil>"
	if r.Summary != want {
		t.Errorf("summary %q, want %q", r.Summary, want)
	}
	s.expectNoKey(r)
	asked := g.requests("/session/key")
	first := []string{`Bearer pod-token /v1alpha1/session/key {"provider":"acme"}`, `Bearer pod-token /v1alpha1/session/key {"provider":"acme","revision":"1"}`}
	if len(asked) < 2 || !slices.Equal(asked[:2], first) {
		t.Errorf("asked %q", asked)
	}
	if files := filesBelow(t, s.dirs.Private); slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "credentials") }) {
		t.Errorf("files %q", files)
	}
}

func TestI2AKeyFromTheGatewayIsInFilesThatFollowIt(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.handOut = handsOut(contract.DeliveryFile)
	s := newSandbox(t, "text", "sh until grep -q sk-rotated $HOME/.acme/auth.json && grep -q sk-rotated $KEY_FILE; do sleep 0.02; done\n"+
		"sayfile $HOME/.acme/auth.json\nsayfile $KEY_FILE\nsayenv API_KEY\nsay "+deliveredKey+"\nstderr "+rotatedKey).handed(g, contract.DeliveryFile)
	r := s.run()
	wantSuccess(t, r)
	if want := `{"key":"[redacted]"}<nil>` + "\n[redacted]<nil>\nAPI_KEY=\n[redacted]"; r.Summary != want {
		t.Errorf("summary %q, want %q", r.Summary, want)
	}
	s.expectNoKey(r)
	want := []string{`{"provider":"acme"}`, `{"provider":"acme","revision":"1"}`, `{"provider":"acme","revision":"1"}`}
	for n, asked := range g.requests("/session/key") { // the acknowledgement of the second may be cut off by the end of the agent
		if n < len(want) && !strings.HasSuffix(asked, want[n]) {
			t.Errorf("asked %s, want %s", asked, want[n])
		}
	}
	if !strings.Contains(s.out.String(), "The key of provider acme has changed") {
		t.Error("the user is not told of the new key")
	}
	holding := []string{"/credentials/acme/api-key " + rotatedKey, `/files/0 {"key":"` + rotatedKey + `"}`, "/files/1 https://api.acme.example"}
	if got := filesBelow(t, s.dirs.Private); !slices.Equal(got, holding) {
		t.Errorf("%d files, some with another content, mode or name", len(got))
	}
}

// filesBelow are names and contents of the files in a directory that only their owner can read.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			return err
		}
		data, err := os.ReadFile(path)
		files = append(files, strings.TrimPrefix(path, dir)+" "+string(data))
		return err
	}))
	return files
}

func TestNoCommitWithAKeyThatHasChangedIsPushed(t *testing.T) {
	for name, key := range map[string]string{"the first": deliveredKey, "the second": rotatedKey} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, o := newGateway(t), newOrigin(t)
			g.handOut = handsOut(contract.DeliveryFile)
			s := newSandbox(t, "text", "sh until grep -q sk-rotated $KEY_FILE; do sleep 0.02; done\nsay done\nwrite conf.yaml "+key).handed(g, contract.DeliveryFile)
			s.with(contract.Repository{URL: o.url, Path: "app", PushBranch: "b"})
			r := s.run()
			wantFailure(t, r, contract.PushRejected, "a key that was given to the agent is in the file conf.yaml")
			s.expectNoKey(r)
		})
	}
}

func TestThereIsNoAgentWithoutAKeyFromTheGateway(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.handOut = func(_ contract.KeyRequest, w http.ResponseWriter) {
		w.Header().Set(contract.HeaderFailureClass, string(contract.ProviderAuthenticationFailed))
		w.Header().Set(contract.HeaderFailureMessage, "ClusterCredential org does not allow namespace team-a any more; ask an admin")
		w.WriteHeader(http.StatusForbidden)
	}
	s := newSandbox(t, "text", "say hello").handed(g, contract.DeliveryEnv)
	wantFailure(t, s.run(), contract.ProviderAuthenticationFailed, "No agent was started", "provider acme", "does not allow namespace team-a any more; ask an admin")
	if strings.Contains(s.out.String(), "hello") || len(g.requests("/session/key")) != 1 {
		t.Errorf("the agent was started, or asked for a key again: %q", g.requests("/session/key"))
	}
}

func TestAKeyFromTheGatewayNeedsOne(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "say hello").handed(newGateway(t), contract.DeliveryFile)
	s.config.Gateway = nil
	wantFailure(t, s.run(), contract.AgentCrashed, "the sandbox has no way there")
}
