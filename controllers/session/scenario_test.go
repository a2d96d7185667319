package session

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/integration/scenario"
)

// inBubble runs a test with its own time, beside others.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

// toldOnce plays a scenario with one manager whose cache is current and that nothing goes wrong for.
func toldOnce(t *testing.T, sc scenario.Scenario) *stage {
	t.Helper()
	var s *stage
	synctest.Test(t, func(t *testing.T) {
		s = newStage(t, 1, 0)
		s.play(sc)
	})
	return s
}

// snapshot is everything that there is, but times and the order of conditions, which differ between two ways to the same world.
func (s *stage) snapshot() string {
	seen := scenario.Look(s)
	var objects []client.Object
	if seen.Session != nil {
		timeless(&seen.Session.Status)
		objects = append(objects, seen.Session)
	}
	for i := range seen.Pods {
		seen.Pods[i].Status.StartTime = nil
		for _, c := range seen.Pods[i].Status.ContainerStatuses {
			if c.State.Terminated != nil {
				c.State.Terminated.FinishedAt = metav1.Time{}
			}
		}
		objects = append(objects, &seen.Pods[i])
	}
	for i := range seen.Configs {
		objects = append(objects, &seen.Configs[i])
	}
	for i := range seen.Claims {
		objects = append(objects, &seen.Claims[i])
	}
	for _, o := range objects {
		o.SetResourceVersion("")
		o.SetCreationTimestamp(metav1.Time{})
		o.SetDeletionTimestamp(sometime(o.GetDeletionTimestamp()))
	}
	text, err := json.MarshalIndent(objects, "", " ")
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

var timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

func timeless(status *v1alpha1.SessionStatus) {
	status.StartTime, status.CompletionTime = sometime(status.StartTime), sometime(status.CompletionTime)
	status.NextRunTime, status.LastActivityTime = sometime(status.NextRunTime), sometime(status.LastActivityTime)
	for i := range status.CredentialsInUse {
		status.CredentialsInUse[i].LastUsedTime = sometime(status.CredentialsInUse[i].LastUsedTime)
	}
	for i := range status.Conditions {
		status.Conditions[i].LastTransitionTime = metav1.Time{}
		status.Conditions[i].Message = timestamp.ReplaceAllString(status.Conditions[i].Message, "some time")
	}
	slices.SortFunc(status.Conditions, func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
}

// sometime keeps of a time only that it is set.
func sometime(t *metav1.Time) *metav1.Time {
	if t == nil {
		return nil
	}
	return &metav1.Time{}
}

// TestI5I10Scenarios plays every scenario with one manager whose cache is current; each step checks I5 and I10.
func TestI5I10Scenarios(t *testing.T) {
	for _, sc := range scenario.All() {
		inBubble(t, sc.Name, func(t *testing.T) { newStage(t, 1, 0).play(sc) })
	}
}

// TestI6 fails every single API call of every scenario, before and after it takes effect, and wants the same worlds. Reads of a cache
// are no API calls.
func TestI6(t *testing.T) {
	for _, sc := range scenario.All() {
		if sc.Variant {
			continue
		}
		t.Run(sc.Name, func(t *testing.T) {
			told := toldOnce(t, sc)
			for i, c := range told.calls {
				if c.verb == "get" || c.verb == "list" {
					continue
				}
				name := fmt.Sprintf("call %d, %s %s", i, c.verb, c.kind)
				inBubble(t, name+" fails", func(t *testing.T) { toldAgain(t, sc, told, fault{at: i}) })
				if c.write {
					inBubble(t, name+" succeeds without an answer", func(t *testing.T) { toldAgain(t, sc, told, fault{at: i, after: true}) })
				}
			}
		})
	}
}

func toldAgain(t *testing.T, sc scenario.Scenario, told *stage, f fault) {
	t.Helper()
	s := newStage(t, 1, 0)
	s.fault = &f
	s.play(sc)
	s.sameAs(told)
}

// TestI6ReadsOfCaches fails every call, reads of caches included, of one long scenario.
func TestI6ReadsOfCaches(t *testing.T) {
	all := scenario.All()
	sc := all[slices.IndexFunc(all, func(sc scenario.Scenario) bool { return sc.Name == "a Session is suspended and resumed" })]
	told := toldOnce(t, sc)
	for i, c := range told.calls {
		inBubble(t, fmt.Sprintf("call %d, %s %s", i, c.verb, c.kind), func(t *testing.T) { toldAgain(t, sc, told, fault{at: i}) })
	}
}

// seeds is how many schedules a scenario is played with.
func seeds(sc scenario.Scenario) uint64 {
	switch {
	case sc.Variant:
		return 1
	case testing.Short():
		return 2
	}
	return 4
}

// TestI1StaleCache plays every scenario with a cache that is behind: at most one live pod at every moment, and the same worlds.
func TestI1StaleCache(t *testing.T) { playSchedules(t, 1) }

// TestI1TwoManagers plays every scenario with two managers at work at the same time, each with a cache that is behind.
func TestI1TwoManagers(t *testing.T) { playSchedules(t, 2) }

func playSchedules(t *testing.T, managers int) {
	for _, sc := range scenario.All() {
		t.Run(sc.Name, func(t *testing.T) {
			told := toldOnce(t, sc)
			for seed := range seeds(sc) {
				inBubble(t, fmt.Sprintf("schedule %d", seed+1), func(t *testing.T) {
					s := newStage(t, managers, seed+1)
					if sc.Current != "" {
						s.playLoosely(sc)
						return
					}
					s.play(sc)
					s.sameAs(told)
				})
			}
		})
	}
}

// sameAs wants the worlds of another telling.
func (s *stage) sameAs(told *stage) {
	s.Helper()
	if diff := cmp.Diff(told.world, s.world); diff != "" {
		s.Errorf("another world (-told once +told now):\n%s", diff)
	}
}
