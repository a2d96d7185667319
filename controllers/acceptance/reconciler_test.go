package acceptance_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/acceptance/acceptancetest"
	"github.com/sandkeep/sandkeep/internal/build"
)

// play is a stage with one APIProvider, on which a test says the verdicts itself.
type play struct {
	*acceptancetest.Stage
	t       *testing.T
	object  *v1alpha1.APIProvider
	verdict acceptance.Verdict
	err     error
}

func newPlay(t *testing.T, object *v1alpha1.APIProvider) *play {
	return &play{Stage: acceptancetest.NewStage(t, object.DeepCopy()), t: t, object: object}
}

func (p *play) reconciler() *acceptance.Reconciler[*v1alpha1.APIProvider] {
	return &acceptance.Reconciler[*v1alpha1.APIProvider]{
		Base: p.Base(),
		Judge: func(context.Context, client.Reader, *v1alpha1.APIProvider) (acceptance.Verdict, error) {
			return p.verdict, p.err
		},
		Status: func(o *v1alpha1.APIProvider) v1alpha1.ObjectStatus { return o.Status },
		Apply: func(o *v1alpha1.APIProvider, status *applyv1alpha1.ObjectStatusApplyConfiguration) runtime.ApplyConfiguration {
			return applyv1alpha1.APIProvider(o.Name).WithUID(o.UID).WithResourceVersion(o.ResourceVersion).WithStatus(status)
		},
	}
}

// judge reconciles with a verdict, some time after the last.
func (p *play) judge(v acceptance.Verdict) {
	p.t.Helper()
	p.verdict = v
	p.Clock.SetTime(p.Clock.Now().Add(time.Minute))
	if err := acceptancetest.Reconcile(p.t, p.Stage, p.reconciler(), p.object); err != nil {
		p.t.Fatal(err)
	}
}

// condition is a condition of the object as it is stored, or nil.
func (p *play) condition(kind string) *metav1.Condition {
	p.t.Helper()
	return meta.FindStatusCondition(acceptancetest.Now(p.t, p.Stage, p.object).Status.Conditions, kind)
}

var (
	accepted = acceptance.Accepted("It is usable")
	waiting  = acceptance.Verdict{Reason: "ProviderNotFound", Message: "It waits"}
	stalled  = acceptance.Verdict{Reason: "InvalidTemplate", Message: "It is broken", Stalled: true}
)

func TestEveryVerdictIsToldOnce(t *testing.T) {
	base := func(v acceptance.Verdict) func(acceptance.Base) *acceptance.Reconciler[*v1alpha1.APIProvider] {
		return func(b acceptance.Base) *acceptance.Reconciler[*v1alpha1.APIProvider] {
			r := (&play{Stage: &acceptancetest.Stage{}, verdict: v}).reconciler()
			r.Base = b
			return r
		}
	}
	for name, v := range map[string]acceptance.Verdict{"accepted": accepted, "waiting": waiting, "stalled": stalled} {
		acceptancetest.Verdicts(t, base(v), map[string]acceptancetest.Case[*v1alpha1.APIProvider]{
			name + ", of an object that nobody has looked at": {Object: build.Provider("p").Obj(), Want: v},
			name + ", of an object without any status": {
				Object: build.Provider("p").With(func(o *v1alpha1.APIProvider) { o.Status = v1alpha1.ObjectStatus{} }).Obj(), Want: v,
			},
		})
	}
}

func TestAChangeOfMindIsToldAndNothingElseIs(t *testing.T) {
	verdicts := map[string]acceptance.Verdict{"accepted": accepted, "waiting": waiting, "stalled": stalled}
	for from, first := range verdicts {
		for to, second := range verdicts {
			t.Run(from+" to "+to, func(t *testing.T) {
				p := newPlay(t, build.Provider("p").Obj())
				p.judge(first)
				since := p.condition(v1alpha1.ConditionReady).LastTransitionTime
				p.Events, p.Writes = nil, 0
				p.judge(second)
				wantEvents, wantWrites := 1, 1
				if from == to {
					wantEvents, wantWrites = 0, 0
				}
				if diff := cmp.Diff([]int{wantEvents, wantWrites}, []int{len(p.Events), p.Writes}); diff != "" {
					t.Errorf("numbers of events and writes (-want +got):\n%s", diff)
				}
				if first.Accepted == second.Accepted {
					if diff := cmp.Diff(since, p.condition(v1alpha1.ConditionReady).LastTransitionTime); diff != "" {
						t.Errorf("time of the last change of Ready (-before +after):\n%s", diff)
					}
				}
				if got := p.condition(v1alpha1.ConditionStalled); (got != nil) != second.Stalled {
					t.Errorf("Stalled is %v", got)
				}
			})
		}
	}
}

func TestOtherWordsForTheSameReasonAreNoEvent(t *testing.T) {
	p := newPlay(t, build.Provider("p").Obj())
	p.judge(stalled)
	readySince, stalledSince := p.condition(v1alpha1.ConditionReady), p.condition(v1alpha1.ConditionStalled)
	p.Events, p.Writes = nil, 0
	p.judge(acceptance.Verdict{Reason: stalled.Reason, Message: "It is broken elsewhere", Stalled: true})
	if diff := cmp.Diff([]string(nil), p.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	readySince.Message, stalledSince.Message = "It is broken elsewhere", "It is broken elsewhere"
	for _, want := range []*metav1.Condition{readySince, stalledSince} {
		if diff := cmp.Diff(want, p.condition(want.Type)); diff != "" {
			t.Errorf("condition %s (-want +got):\n%s", want.Type, diff)
		}
	}
}

func TestANewGenerationIsObservedWithoutAnEvent(t *testing.T) {
	p := newPlay(t, build.Provider("p").Obj())
	p.judge(accepted)
	changed := acceptancetest.Now(t, p.Stage, p.object)
	changed.Generation = 2
	if err := p.Client.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	p.Events = nil
	p.judge(accepted)
	if diff := cmp.Diff([]string(nil), p.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	got := []int64{*acceptancetest.Now(t, p.Stage, p.object).Status.ObservedGeneration, p.condition(v1alpha1.ConditionReady).ObservedGeneration}
	if diff := cmp.Diff([]int64{2, 2}, got); diff != "" {
		t.Errorf("observed generations of status and Ready (-want +got):\n%s", diff)
	}
}

func TestAVerdictOnAnOldVersionIsNotWritten(t *testing.T) {
	p := newPlay(t, build.Provider("p").Obj())
	old := acceptancetest.Now(t, p.Stage, p.object)
	p.judge(stalled)
	before := acceptancetest.Now(t, p.Stage, p.object)
	p.Events, p.verdict = nil, accepted
	_, err := p.reconciler().Reconcile(t.Context(), old)
	if !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	if diff := cmp.Diff(before, acceptancetest.Now(t, p.Stage, p.object)); diff != "" {
		t.Errorf("object (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), p.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAnObjectThatIsGoneIsNotMadeAgain(t *testing.T) {
	p := newPlay(t, build.Provider("p").Obj())
	old := acceptancetest.Now(t, p.Stage, p.object)
	if err := p.Client.Delete(t.Context(), p.object); err != nil {
		t.Fatal(err)
	}
	p.verdict = accepted
	if _, err := p.reconciler().Reconcile(t.Context(), old); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	p.judge(accepted)
	if err := p.Client.Get(t.Context(), client.ObjectKeyFromObject(old), old); !apierrors.IsNotFound(err) {
		t.Errorf("error %v, want that it is not found", err)
	}
	if diff := cmp.Diff([]string(nil), p.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAnObjectThatIsBeingDeletedIsLeftAlone(t *testing.T) {
	p := newPlay(t, build.Provider("p").Deleting().Obj())
	p.judge(accepted)
	if diff := cmp.Diff([]int{0, 0}, []int{p.Writes, len(p.Events)}); diff != "" {
		t.Errorf("numbers of writes and events (-want +got):\n%s", diff)
	}
}

func TestWithoutAVerdictNothingIsWritten(t *testing.T) {
	p := newPlay(t, build.Provider("p").Obj())
	p.err = errors.New("the API server is gone")
	if err := acceptancetest.Reconcile(t, p.Stage, p.reconciler(), p.object); !errors.Is(err, p.err) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]int{0, 0}, []int{p.Writes, len(p.Events)}); diff != "" {
		t.Errorf("numbers of writes and events (-want +got):\n%s", diff)
	}
}

func TestConditionsOfOtherProgramsStayTheirs(t *testing.T) {
	p := newPlay(t, build.Provider("p").Obj())
	write := func(status *applyv1alpha1.ObjectStatusApplyConfiguration) {
		t.Helper()
		if err := p.Client.Status().Apply(t.Context(), applyv1alpha1.APIProvider("p").WithStatus(status), client.FieldOwner("another")); err != nil {
			t.Fatal(err)
		}
	}
	write(applyv1alpha1.ObjectStatus().WithConditions(applymetav1.Condition().WithType("Connected").WithStatus(metav1.ConditionTrue).
		WithReason("Connected").WithMessage("").WithLastTransitionTime(build.Created)))
	p.judge(stalled)
	p.judge(accepted)
	if p.condition("Connected") == nil {
		t.Error("the condition of another program is gone")
	}
	write(applyv1alpha1.ObjectStatus())
	if got := p.condition("Connected"); got != nil {
		t.Errorf("another program cannot take its condition away: %v", got)
	}
}
