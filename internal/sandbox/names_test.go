package sandbox

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

func TestNamesOfASandbox(t *testing.T) {
	long := strings.Repeat("a", 52)
	cases := map[string]struct{ got, want string }{
		"a pod":                              {PodName("fix-login", 1), "fix-login-sandbox-1"},
		"a pod of a later run":               {PodName("fix-login", 12), "fix-login-sandbox-12"},
		"a claim":                            {WorkspaceName("fix-login"), "fix-login-workspace"},
		"a pod of the longest name":          {PodName(long, 99), long + "-sandbox-99"},
		"a claim of the longest name":        {WorkspaceName(long), long + "-workspace"},
		"a pod of the longest name, run 100": {PodName(long, 100), long[:40] + "-6c1b3dc7a7-sandbox-100"},
		"a cut next to a dot":                {PodName(strings.Repeat("a", 39)+"."+long, 100), strings.Repeat("a", 39) + "-bfd58308b0-sandbox-100"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.got); diff != "" {
				t.Errorf("name (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzNamesAreValidAndDistinct(f *testing.F) {
	f.Add("fix-login", "fix-login", uint16(1), uint16(2))
	f.Add("a-sandbox-1", "a", uint16(1), uint16(11))
	f.Add(strings.Repeat("a", 52), strings.Repeat("a", 51)+"b", uint16(100), uint16(100))
	f.Add(strings.Repeat("a.", 30), strings.Repeat("a.b-", 30), uint16(60000), uint16(60000))
	f.Fuzz(func(t *testing.T, first, second string, firstRun, secondRun uint16) {
		first, second = sessionName(first), sessionName(second)
		names := map[string]string{}
		for _, made := range []struct{ of, name, again string }{
			{"pod of " + first, PodName(first, int32(firstRun)+1), PodName(first, int32(firstRun)+1)},
			{"pod of " + second, PodName(second, int32(secondRun)+1), PodName(second, int32(secondRun)+1)},
			{"claim of " + first, WorkspaceName(first), WorkspaceName(first)},
			{"claim of " + second, WorkspaceName(second), WorkspaceName(second)},
		} {
			if len(made.name) > 63 {
				t.Errorf("%s: %q has %d characters", made.of, made.name, len(made.name))
			}
			if problems := validation.IsDNS1123Subdomain(made.name); len(problems) > 0 {
				t.Errorf("%s: %q: %v", made.of, made.name, problems)
			}
			if made.name != made.again {
				t.Errorf("%s: first %q, then %q", made.of, made.name, made.again)
			}
			if other, taken := names[made.name]; taken && other != made.of {
				t.Errorf("%s and %s have the name %q", made.of, other, made.name)
			}
			names[made.name] = made.of
		}
		if first == second && firstRun != secondRun && PodName(first, int32(firstRun)+1) == PodName(second, int32(secondRun)+1) {
			t.Errorf("runs %d and %d of %q have one pod", firstRun+1, secondRun+1, first)
		}
	})
}

// sessionName makes any text a name that the API server takes, of at most 253 characters.
func sessionName(text string) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789-."
	var name strings.Builder
	for i := range min(len(text), 253) {
		name.WriteByte(alphabet[int(text[i])%len(alphabet)])
	}
	if len(validation.IsDNS1123Subdomain(name.String())) == 0 {
		return name.String()
	}
	return "x" + strings.NewReplacer("-", "0", ".", "0").Replace(name.String()[:min(name.Len(), 252)])
}

func TestTheRunOfAnObjectIsInItsName(t *testing.T) {
	want := map[string]int32{
		"a-sandbox-7": 7, "a-sandbox-3-sandbox-12": 12, "a-sandbox-": 0, "a-sandbox-x": 0, "a-sandbox-99999999999": 0, "a-workspace": 0, "": 0,
		PodName(strings.Repeat("a", 52), 1000): 1000,
	}
	got := map[string]int32{}
	for name := range want {
		got[name] = RunOf(&metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelRun: "5"}})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runs by name (-want +got):\n%s", diff)
	}
}

func TestLabelsThatSomebodyTookOffAreKnown(t *testing.T) {
	s := build.Session("fix-login").Obj()
	all := ConfigMap(s, build.Class("opencode").Obj(), 2, nil)
	if lost := LostLabels(all, s); len(lost) > 0 {
		t.Errorf("nothing is lost, but %v", lost)
	}
	delete(all.Labels, v1alpha1.LabelSession)
	all.Labels[v1alpha1.LabelRun] = "3"
	want := map[string]string{v1alpha1.LabelSession: "fix-login", v1alpha1.LabelRun: "2"}
	if diff := cmp.Diff(want, LostLabels(all, s)); diff != "" {
		t.Errorf("lost labels (-want +got):\n%s", diff)
	}
}
