package sandbox

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

func TestTermsAreWhatTheSessionAsksForThenWhatItsClassSays(t *testing.T) {
	defaults := Terms{ActiveDeadline: 2 * time.Hour, RetainSandbox: 24 * time.Hour, BackoffLimit: 2}
	with := func(change func(*Terms)) Terms {
		terms := defaults
		change(&terms)
		return terms
	}
	class := func(change func(*v1alpha1.ClassLimits)) *v1alpha1.SessionClass {
		return build.Class("opencode").Limits(change).Obj()
	}
	limit := func(value, most *int64) *v1alpha1.SecondsLimit {
		return &v1alpha1.SecondsLimit{Default: value, Max: most}
	}
	plain := build.Session("s")
	remembered := RememberedLimits(ConfigMap(plain.Obj(), class(func(l *v1alpha1.ClassLimits) {
		l.ActiveDeadlineSeconds = limit(new(int64(45)), new(int64(50)))
	}), 1, nil))
	cases := map[string]struct {
		session *build.SessionBuilder
		class   *v1alpha1.SessionClass
		want    Terms
	}{
		"nobody says anything":                 {plain, build.Class("opencode").Obj(), defaults},
		"the class is gone":                    {plain, nil, with(func(t *Terms) { t.ActiveDeadline = 45 * time.Second })},
		"the class is gone, the Session asked": {build.Session("s").ActiveDeadline(60), nil, with(func(t *Terms) { t.ActiveDeadline = 50 * time.Second })},
		"the Session asks for everything": {
			build.Session("s").ActiveDeadline(60).RetainSandbox(0).TTL(30).BackoffLimit(0), build.Class("opencode").Obj(),
			Terms{ActiveDeadline: time.Minute, TTL: new(30 * time.Second)},
		},
		"the class has defaults": {
			plain, class(func(l *v1alpha1.ClassLimits) {
				l.ActiveDeadlineSeconds = limit(new(int64(90)), nil)
				l.RetainSandboxSeconds = limit(new(int64(10)), new(int64(20)))
				l.TTLSecondsAfterFinished = limit(new(int64(0)), nil)
			}),
			Terms{ActiveDeadline: 90 * time.Second, RetainSandbox: 10 * time.Second, TTL: new(time.Duration(0)), BackoffLimit: 2},
		},
		"the Session goes over the class's defaults": {
			build.Session("s").ActiveDeadline(60), class(func(l *v1alpha1.ClassLimits) { l.ActiveDeadlineSeconds = limit(new(int64(90)), nil) }),
			with(func(t *Terms) { t.ActiveDeadline = time.Minute }),
		},
		"the class's maximum cuts the general default": {
			plain, class(func(l *v1alpha1.ClassLimits) { l.ActiveDeadlineSeconds = limit(nil, new(int64(600))) }),
			with(func(t *Terms) { t.ActiveDeadline = 10 * time.Minute }),
		},
		"a greater maximum cuts nothing": {
			plain, class(func(l *v1alpha1.ClassLimits) { l.ActiveDeadlineSeconds = limit(nil, new(int64(1<<20))) }), defaults,
		},
		"a maximum alone makes no time to live": {
			plain, class(func(l *v1alpha1.ClassLimits) { l.TTLSecondsAfterFinished = limit(nil, new(int64(600))) }), defaults,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, TermsOf(c.session.Obj(), c.class, remembered)); diff != "" {
				t.Errorf("terms (-want +got):\n%s", diff)
			}
		})
	}
}

func TestASessionMustNotAskForMoreThanItsClassPermits(t *testing.T) {
	class := build.Class("opencode").Limits(func(l *v1alpha1.ClassLimits) {
		l.ActiveDeadlineSeconds = &v1alpha1.SecondsLimit{Max: new(int64(3600))}
		l.RetainSandboxSeconds = &v1alpha1.SecondsLimit{Max: new(int64(60))}
		l.TTLSecondsAfterFinished = &v1alpha1.SecondsLimit{Max: new(int64(0))}
		l.Resources = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi")}
	})
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	cases := map[string]struct {
		session *build.SessionBuilder
		class   *build.ClassBuilder
		want    string
	}{
		"nothing asked for":  {build.Session("s"), class, ""},
		"exactly as much":    {build.Session("s").ActiveDeadline(3600).RetainSandbox(60).TTL(0).Resources(list("2000m", "4096Mi"), list("2", "4Gi")), class, ""},
		"a class of no mind": {build.Session("s").ActiveDeadline(1<<40).Resources(nil, list("1000", "1Ti")), build.Class("opencode"), ""},
		"a resource that the class does not limit": {
			build.Session("s").Resources(nil, corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("1Ti")}), class, "",
		},
		"too long": {
			build.Session("s").ActiveDeadline(3601), class,
			`spec.activeDeadlineSeconds is 3601, but class "opencode" permits at most 3600; lower it`,
		},
		"kept too long": {
			build.Session("s").RetainSandbox(61), class,
			`spec.retainSandboxSeconds is 61, but class "opencode" permits at most 60; lower it`,
		},
		"deleted too late": {
			build.Session("s").TTL(1), class,
			`spec.ttlSecondsAfterFinished is 1, but class "opencode" permits at most 0; lower it`,
		},
		"too great a request": {
			build.Session("s").Resources(list("1", "5Gi"), nil), class,
			`spec.resources.requests.memory is 5Gi, but class "opencode" permits at most 4Gi; make a new Session that asks for less`,
		},
		"too great a limit": {
			build.Session("s").Resources(nil, list("2500m", "1Gi")), class,
			`spec.resources.limits.cpu is 2500m, but class "opencode" permits at most 2; make a new Session that asks for less`,
		},
		"too much of everything: the first by name is told": {
			build.Session("s").Resources(list("3", "5Gi"), list("3", "5Gi")), class,
			`spec.resources.requests.cpu is 3, but class "opencode" permits at most 2; make a new Session that asks for less`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for range 10 { // as maps have no order
				if diff := cmp.Diff(c.want, OverLimit(c.session.Obj(), c.class.Obj())); diff != "" {
					t.Fatalf("problem (-want +got):\n%s", diff)
				}
			}
		})
	}
}
