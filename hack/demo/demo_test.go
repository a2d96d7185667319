package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/demo/scene"
	"github.com/sandkeep/sandkeep/hack/install"
	"github.com/sandkeep/sandkeep/internal/build"
)

// environment is a getenv over one variable.
func environment(name, value string) func(string) string {
	return func(asked string) string {
		if asked == name {
			return value
		}
		return ""
	}
}

func TestChoosePayerIsScriptedWithoutAKey(t *testing.T) {
	p := choosePayer(t.Context(), environment("ANTHROPIC_API_KEY", " \n"))
	if p.real || p.class != scripted || p.key == "" || !strings.Contains(p.prompt, "[[script:") {
		t.Errorf("got class %q, real %t; want the scripted provider", p.class, p.real)
	}
}

func TestChoosePayerIsScriptedWithoutANetwork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as if nobody answered
	p := choosePayer(ctx, environment("ANTHROPIC_API_KEY", "sk-ant-real"))
	if p.real || p.key == "sk-ant-real" {
		t.Errorf("real %t; want another key and the scripted provider", p.real)
	}
	if !strings.Contains(p.announcement, "cannot be reached") {
		t.Errorf("the announcement %q does not say why", p.announcement)
	}
}

func TestDemoThatSpendsMoneySaysSoAndHowToAvoidIt(t *testing.T) {
	vendor, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vendor.Close() })
	p := choosePayerAt(t.Context(), vendor.Addr().String(), environment("ANTHROPIC_API_KEY", "sk-ant-real"))
	for _, part := range []string{"SPENDS MONEY", "env -u ANTHROPIC_API_KEY make demo"} {
		if !p.real || !strings.Contains(p.announcement, part) {
			t.Errorf("real %t, and %q lacks %q", p.real, p.announcement, part)
		}
	}
	if strings.Contains(p.announcement, p.key) {
		t.Error("the announcement holds the key")
	}
	if title := (&demo{payer: p}).applyTitle(); !strings.Contains(title, "pays") {
		t.Errorf("the step that spends is called %q", title)
	}
}

func TestInterruptedDemoTellsWhatIsLeftAndBlamesNobody(t *testing.T) {
	failure := errors.New("the Session does not finish")
	if err := (&demo{}).explained(t.Context(), failure); !errors.Is(err, failure) {
		t.Errorf("got %v for a failure of a demo that nobody ended", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	applied := castFor(scriptedPayer(""), "http://git/x.git")
	foreign := install.Source{Existing: true}
	for name, test := range map[string]struct {
		demo  demo
		parts []string
	}{
		"before the Session":           {demo{}, []string{"before there was a Session", "make demo", "make down"}},
		"the same, elsewhere":          {demo{Source: foreign}, []string{"kubectl delete namespace " + namespace}},
		"while the Session runs":       {demo{cast: applied}, []string{applied.session.Name + " goes on", "export KUBECONFIG=", "describe session", "delete session", "make down"}},
		"while the Session pays":       {demo{cast: applied, payer: payer{real: true}}, []string{"your key pays", applied.secret.Name}},
		"while it runs, but elsewhere": {demo{cast: applied, Source: foreign}, []string{"delete session", "kubectl delete namespace " + namespace}},
	} {
		t.Run(name, func(t *testing.T) {
			text := test.demo.explained(ended, failure).Error()
			for _, part := range append(test.parts, "interrupted") {
				if !strings.Contains(text, part) {
					t.Errorf("%q lacks %q", text, part)
				}
			}
			if strings.Contains(text, failure.Error()) || (test.demo.Existing && strings.Contains(text, "make down")) {
				t.Errorf("%q blames the Session, or ends a cluster that is not ours", text)
			}
		})
	}
}

// TestHintsNameAKubectlThatIsThere: the machine of somebody who tries the demo may have none.
func TestHintsNameAKubectlThatIsThere(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	t.Setenv("CLUSTER_DIR", "")
	elsewhere := filepath.Join(t.TempDir(), "cluster")
	for name, test := range map[string]struct {
		source install.Source
		dir    string
		want   string
	}{
		"the local cluster":           {install.Source{Root: root}, "", ".cluster/bin/kubectl"},
		"a local cluster elsewhere":   {install.Source{Root: root}, elsewhere, elsewhere + "/bin/kubectl"},
		"the cluster of a kubeconfig": {install.Source{Root: root, Existing: true}, "", "kubectl"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CLUSTER_DIR", test.dir)
			d, out := demo{Source: test.source}, &strings.Builder{}
			if err := d.writeHints(t.Context(), out, build.Session("hello").Obj()); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if !strings.HasPrefix(line, "export ") && !strings.HasPrefix(line, "make down ") && !strings.HasPrefix(line, test.want+" ") {
					t.Errorf("the hint is %q, want it to begin with %q", line, test.want)
				}
			}
		})
	}
}

// TestInterruptedDemoKnowsWhetherThereIsASession: it is ended while one of its objects is applied.
func TestInterruptedDemoKnowsWhetherThereIsASession(t *testing.T) {
	for kind, text := range map[string]string{"Secret": "before there was a Session", "ClusterCredential": "before there was a Session", "Session": "goes on in the cluster"} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := fake.NewClientBuilder().WithScheme(scheme()).WithInterceptorFuncs(interceptor.Funcs{
				Apply: func(ctx context.Context, _ client.WithWatch, o runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
					if o.(interface{ GetKind() string }).GetKind() == kind {
						cancel()
					}
					return ctx.Err()
				},
			}).Build()
			d := &demo{client: c, scene: &scene.Scene{Client: c}, payer: payer{real: true}}
			err := d.apply(ctx)
			if got := d.interruption().Error(); !strings.Contains(got, text) {
				t.Errorf("got %q after %v, want %q", got, err, text)
			}
		})
	}
}

func TestPodsGetAWayOutForTheRealProviderOnly(t *testing.T) {
	for vendor, want := range map[bool]string{false: "run ./hack/cluster up", true: "run ./hack/cluster up -egress"} {
		d := &demo{payer: payer{real: vendor}}
		if got := strings.Join(d.clusterCommand(), " "); got != want {
			t.Errorf("real %t: got %q, want %q", vendor, got, want)
		}
	}
}

func TestCastHasANewSessionEachTime(t *testing.T) {
	p := scriptedPayer("")
	if a, b := castFor(p, "http://git/x.git"), castFor(p, "http://git/x.git"); a.session.Name == b.session.Name {
		t.Errorf("both are called %s", a.session.Name)
	}
}

func TestKeyIsInTheSecretOnly(t *testing.T) {
	p := scriptedPayer("")
	c := castFor(p, "http://git/x.git")
	if c.secret.StringData[keyEntry] != p.key {
		t.Error("the key is not in the Secret")
	}
	for _, o := range []any{c.credential, c.session} {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), p.key) {
			t.Errorf("the key is in %T", o)
		}
	}
}

func condition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "Because of " + reason}
}

func TestWriteConditionsPutsReadyFirst(t *testing.T) {
	s := &v1alpha1.Session{}
	s.Status.Conditions = []metav1.Condition{condition("Succeeded", "True", "Succeeded"), condition("Finished", "True", "Succeeded"), condition("Ready", "True", "Succeeded")}
	var out strings.Builder
	if err := writeConditions(t.Context(), &out, s); err != nil {
		t.Fatal(err)
	}
	want := `TYPE       STATUS  REASON     MESSAGE
Ready      True    Succeeded  Because of Succeeded
Finished   True    Succeeded  Because of Succeeded
Succeeded  True    Succeeded  Because of Succeeded
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestShowChangesTellsOnlyWhatIsNew(t *testing.T) {
	var out strings.Builder
	f := &follower{detail: &out}
	first := &v1alpha1.Session{}
	first.Status.Conditions = []metav1.Condition{condition("Ready", "False", "Starting"), condition("Finished", "False", "NotFinished")}
	f.showChanges(first)
	f.last = first.DeepCopy()
	second := first.DeepCopy()
	second.Status.Conditions[0] = condition("Ready", "True", "Running")
	f.showChanges(second)
	for part, want := range map[string]int{"Ready=False Starting: Because of Starting": 1, "Ready=True Running: Because of Running": 1, "Finished": 0} {
		if got := strings.Count(out.String(), part); got != want {
			t.Errorf("%q is told %d times, want %d:\n%s", part, got, want, out.String())
		}
	}
}

func TestVerdict(t *testing.T) {
	s := &v1alpha1.Session{}
	if err := (&demo{}).verdict(s); err == nil {
		t.Error("a Session without success is taken for one")
	}
	s.Status.Conditions = []metav1.Condition{condition("Succeeded", "True", "Succeeded")}
	if err := (&demo{}).verdict(s); err != nil {
		t.Error(err)
	}
}
