package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

func podIn(phase corev1.PodPhase, finalizers ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: objectMeta("", "a-sandbox-1")}
	pod.Labels[v1alpha1.LabelSession] = "a"
	pod.Finalizers, pod.Status.Phase = finalizers, phase
	pod.Status.Message = "no luck"
	return pod
}

func TestLooks(t *testing.T) {
	session := func() *build.SessionBuilder { return build.Session("a") }
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	tests := map[string]struct {
		look   func(client.Object) sighting
		object client.Object
		want   sighting
	}{
		"a new Session tells nothing": {lookAtSession, session().Obj(), sighting{name: "a"}},
		"a Session at work tells nothing": {
			lookAtSession, session().Condition(v1alpha1.ConditionFinished, no, "Running").Obj(), sighting{name: "a"},
		},
		"a Session that has succeeded has ended": {
			lookAtSession,
			session().Condition(v1alpha1.ConditionSucceeded, yes, "Succeeded").Condition(v1alpha1.ConditionFinished, yes, "Succeeded").Obj(),
			sighting{name: "a", ended: true},
		},
		"a Session that has failed says why": {
			lookAtSession,
			session().Condition(v1alpha1.ConditionFinished, yes, "AgentCrashed").With(func(s *v1alpha1.Session) {
				s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Message: "It crashed"})
			}).Obj(),
			sighting{name: "a", failure: "It crashed"},
		},
		"a sandbox is there": {lookAtSandbox, podIn(corev1.PodPending, v1alpha1.FinalizerResult), sighting{name: "a", created: true}},
		"a sandbox that ended has a result to be read": {
			lookAtSandbox, podIn(corev1.PodSucceeded, v1alpha1.FinalizerResult), sighting{name: "a", created: true},
		},
		"a sandbox that the manager let go of has settled": {
			lookAtSandbox, podIn(corev1.PodSucceeded), sighting{name: "a", created: true, settled: true},
		},
		"a bare pod is there":          {lookAtPod, podIn(corev1.PodRunning), sighting{name: "a-sandbox-1", created: true}},
		"a bare pod ends and settles":  {lookAtPod, podIn(corev1.PodSucceeded), sighting{name: "a-sandbox-1", created: true, ended: true, settled: true}},
		"a bare pod that fails is bad": {lookAtPod, podIn(corev1.PodFailed), sighting{name: "a-sandbox-1", created: true, failure: "no luck"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.look(test.object), cmp.AllowUnexported(sighting{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTrackerKeepsTheFirstTimes(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	tr := newTracker([]string{"a"}, func(err error) { t.Error(err) })
	tr.begin("a", at(0))
	tr.note(sighting{name: "a", created: true}, at(1))
	tr.note(sighting{name: "stranger", created: true, ended: true, settled: true}, at(2))
	tr.note(sighting{name: "a", created: true, settled: true}, at(3))
	tr.note(sighting{name: "a", ended: true}, at(4))
	tr.note(sighting{name: "a", created: true, ended: true, settled: true}, at(5))
	if err := tr.wait(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	want := []life{{began: at(0), created: at(1), ended: at(4), settled: at(3)}}
	if diff := cmp.Diff(want, tr.all(), cmp.AllowUnexported(life{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTrackerReportsFailures(t *testing.T) {
	var got error
	tr := newTracker([]string{"a"}, func(err error) { got = err })
	tr.note(sighting{name: "a", failure: "It crashed"}, time.Now())
	wantError(t, got, "a failed: It crashed")
}

func TestTrackerTellsHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker([]string{"a", "b", "c"}, func(err error) { t.Error(err) })
		tr.note(sighting{name: "a", created: true}, time.Now())
		tr.note(sighting{name: "b", created: true, ended: true}, time.Now())
		ctx, cancel := context.WithTimeoutCause(t.Context(), 15*time.Second, errors.New("too slow"))
		defer cancel()
		var said bytes.Buffer
		wantError(t, tr.wait(ctx, &said), "too slow")
		if got, want := said.String(), "2 pods created and 1 ended, of 3\n"; got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	})
}
