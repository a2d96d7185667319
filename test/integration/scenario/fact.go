package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// Seen is what a look at the API server shows of a Session.
type Seen struct {
	// Session is nil when there is none.
	Session *v1alpha1.Session
	// Pods, Configs and Claims are those of the namespace that carry the Session's label.
	Pods    []corev1.Pod
	Configs []corev1.ConfigMap
	Claims  []corev1.PersistentVolumeClaim
	Now     time.Time
}

// Look reads what there is.
func Look(s Stage) Seen {
	s.Helper()
	seen := Seen{Session: &v1alpha1.Session{}, Now: s.Now()}
	err := s.API().Get(s.Context(), client.ObjectKey{Namespace: s.Namespace(), Name: Name}, seen.Session)
	if apierrors.IsNotFound(err) {
		seen.Session, err = nil, nil
	}
	must(s, err)
	ours := []client.ListOption{client.InNamespace(s.Namespace()), client.MatchingLabels{v1alpha1.LabelSession: Name}}
	var pods corev1.PodList
	must(s, s.API().List(s.Context(), &pods, ours...))
	var configs corev1.ConfigMapList
	must(s, s.API().List(s.Context(), &configs, ours...))
	var claims corev1.PersistentVolumeClaimList
	must(s, s.API().List(s.Context(), &claims, ours...))
	seen.Pods, seen.Configs, seen.Claims = pods.Items, configs.Items, claims.Items
	return seen
}

func must(s Stage, err error) {
	if err != nil {
		s.Helper()
		s.Fatal(err)
	}
}

// Fact says what is not as it must be; empty when everything is.
type Fact func(Seen) string

func differs(what string, want, have any) string {
	if diff := cmp.Diff(want, have); diff != "" {
		return what + " (-want +have):\n" + diff
	}
	return ""
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func run(n int32) Fact {
	return func(s Seen) string { return differs("run", n, value(s.Session.Status.Run)) }
}

func failures(n int32) Fact {
	return func(s Seen) string { return differs("failures", n, value(s.Session.Status.Failures)) }
}

// nextRunIn is checked to the second that is the resolution of status.
func nextRunIn(d time.Duration) Fact {
	return func(s Seen) string {
		next := s.Session.Status.NextRunTime
		if next == nil || next.Sub(s.Now) > d || next.Sub(s.Now) < d-5*time.Second {
			return fmt.Sprintf("nextRunTime is %v, want %s after %s", next, d, s.Now)
		}
		return ""
	}
}

// paidBy takes off the namespace by which a stage may tell its ClusterCredentials from those of others.
func paidBy(names ...string) Fact {
	return func(s Seen) string {
		var have []string
		for _, c := range s.Session.Status.Credentials {
			have = append(have, strings.TrimPrefix(c.Ref.Name, s.Session.Namespace+"-"))
		}
		return differs("credentials", names, have)
	}
}

func auth(short string) Fact {
	return func(s Seen) string { return differs("auth", short, s.Session.Status.Auth) }
}

// pods are "<name> <phase>" of the Session's pods, by name.
func pods(want ...string) Fact {
	return func(s Seen) string {
		var have []string
		for _, p := range s.Pods {
			have = append(have, fmt.Sprintf("%s %s", p.Name, p.Status.Phase))
		}
		slices.Sort(have)
		return differs("pods", want, have)
	}
}

// worksOnVolume wants the newest pod to use the workspace volume.
func worksOnVolume(s Seen) string {
	for _, v := range s.Pods[len(s.Pods)-1].Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			return ""
		}
	}
	return "the newest pod does not use the workspace volume"
}

// told wants a word in what the newest run is told.
func told(word string) Fact {
	return func(s Seen) string {
		if last := len(s.Configs) - 1; last < 0 || !strings.Contains(s.Configs[last].Data[contract.ConfigFile], word) {
			return fmt.Sprintf("the run is not told of %q", word)
		}
		return ""
	}
}

func noPodKept(s Seen) string {
	for _, p := range s.Pods {
		if slices.Contains(p.Finalizers, v1alpha1.FinalizerResult) {
			return fmt.Sprintf("pod %s still has our finalizer", p.Name)
		}
	}
	return ""
}

func nothingLeft(s Seen) string {
	if n := len(s.Pods) + len(s.Configs) + len(s.Claims); n > 0 {
		return fmt.Sprintf("%d pods, %d ConfigMaps, %d volume claims are left", len(s.Pods), len(s.Configs), len(s.Claims))
	}
	return ""
}

func says(words string) Fact {
	return func(s Seen) string {
		c := meta.FindStatusCondition(s.Session.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || !strings.Contains(c.Message, words) {
			return fmt.Sprintf("Ready says %q, want %q in it", value(c).Message, words)
		}
		return ""
	}
}

// saysNothingOf wants that no word of Ready's message alarms anybody.
func saysNothingOf(words string) Fact {
	return func(s Seen) string {
		if c := meta.FindStatusCondition(s.Session.Status.Conditions, v1alpha1.ConditionReady); c != nil && strings.Contains(c.Message, words) {
			return fmt.Sprintf("Ready says %q, want nothing of %q", c.Message, words)
		}
		return ""
	}
}

func volume(n int) Fact {
	return func(s Seen) string { return differs("volume claims", n, len(s.Claims)) }
}

func used(requests int64) Fact {
	return func(s Seen) string {
		return differs("requests", requests, value(value(s.Session.Status.Usage).Requests))
	}
}

func left(summary string, commits ...v1alpha1.Commit) Fact {
	return func(s Seen) string {
		return differs("result", &v1alpha1.SessionResult{Summary: summary, Commits: commits}, s.Session.Status.Result)
	}
}

func failure(class string) Fact {
	return func(s Seen) string { return differs("failure", class, value(s.Session.Status.Failure).Class) }
}

// classKept wants the class that the Session started with, as this stage names it.
func classKept(s Seen) string {
	if name := s.Session.Status.ClassName; !strings.HasSuffix(name, "opencode") {
		return fmt.Sprintf("class is %q", name)
	}
	return ""
}

func class(name string) Fact {
	return func(s Seen) string { return differs("class", name, s.Session.Status.ClassName) }
}
