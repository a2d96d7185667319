package session

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

// ears hear events, as "Normal Reason: message".
type ears []string

func (e *ears) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	*e = append(*e, kind+" "+reason+": "+fmt.Sprintf(note, args...))
}

// TestAnEventTellsOnceWhoWasPassedOver: that somebody else pays than the namespace itself is seen by whoever reads kubectl describe.
func TestAnEventTellsOnceWhoWasPassedOver(t *testing.T) {
	var heard ears
	r := &Reconciler{Recorder: &heard}
	status := v1alpha1.SessionStatus{Credentials: []v1alpha1.ResolvedCredential{{
		Provider: "anthropic", Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: "org"},
		PassedOver: `Credential "own" is not ready: Ask an admin`,
	}}}
	w := &world{session: build.Session("fix-login").Obj()}
	p := plan{phase: starting, reason: v1alpha1.ReasonStarting, message: "The sandbox is being made"}
	r.announce(w, p, status)
	w.session.Status.Credentials = status.Credentials
	w.session.Status.Conditions = nil
	r.announce(w, p, status)
	want := ears{
		`Warning CredentialPassedOver: Paid by ClusterCredential org for anthropic; by fallback Shared of the class, since ` +
			`when the Session started: Credential "own" is not ready: Ask an admin`,
		"Normal Starting: The sandbox is being made",
		"Normal Starting: The sandbox is being made",
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
