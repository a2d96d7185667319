package session

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/test/integration/scenario"
)

// ofOtherKinds are the reasons that no Session shows.
var ofOtherKinds = []string{
	v1alpha1.ReasonAccepted, v1alpha1.ReasonInvalidTemplate, v1alpha1.ReasonInvalidEndpoint, v1alpha1.ReasonWithinLimits, v1alpha1.ReasonLimitReached,
	v1alpha1.ReasonKeyEchoed, v1alpha1.ReasonCredentialPassedOver, // of events
}

// TestReasons wants that every reason of a condition is a constant of the API, and that every such constant is produced by a scenario.
func TestReasons(t *testing.T) {
	produced := map[string]bool{}
	for _, sc := range scenario.All() {
		for _, s := range toldOnce(t, sc).statuses {
			for _, c := range s.Status.Conditions {
				produced[c.Reason] = true
			}
		}
	}
	for _, reason := range ofOtherKinds {
		produced[reason] = true
	}
	have := slices.Collect(func(yield func(string) bool) {
		for reason := range produced {
			if !yield(reason) {
				return
			}
		}
	})
	slices.Sort(have)
	if diff := cmp.Diff(reasonConstants(t), have); diff != "" {
		t.Errorf("reasons (-constants +produced):\n%s", diff)
	}
}

// reasonConstants are the values of the constants of api/v1alpha1 that name reasons and failure classes.
func reasonConstants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && (strings.HasPrefix(spec.Names[0].Name, "Reason") || strings.HasPrefix(spec.Names[0].Name, "Failure")) {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	slices.Sort(values)
	return slices.Compact(values)
}

// TestConsequences wants a decision about every failure class that a sandbox or Kubernetes can bring about.
func TestConsequences(t *testing.T) {
	final := []string{
		v1alpha1.FailureAgentSilent, v1alpha1.FailureProviderQuotaExhausted, v1alpha1.FailureContextOverflow, v1alpha1.FailureOutOfMemory,
		v1alpha1.FailureDeadlineExceeded, v1alpha1.FailurePushRejected,
	}
	for class := range consequences {
		if slices.Contains(final, class) {
			t.Errorf("%s is retried, but the design says that it is final", class)
		}
	}
}

// TestKstatusUnseen wants that a Session which nobody has reconciled is in progress, as the CRD's default makes it.
func TestKstatusUnseen(t *testing.T) {
	if have := scenario.Kstatus(build.Session("unseen").Obj()); have != status.InProgressStatus {
		t.Errorf("kstatus reads %s", have)
	}
}

// TestWrites counts what each scenario costs the API server, Events apart; -v prints the table.
func TestWrites(t *testing.T) {
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := []string{"create ConfigMap", "create PersistentVolumeClaim", "create Pod", "patch Pod", "delete Pod", "apply status Session"}
	fmt.Fprintf(out, "writes\tstatus\tConfigMap\tclaim\tpod\tfinalizer\tpod deletion\tother\tlive reads\t\n")
	for _, sc := range scenario.All() {
		s := toldOnce(t, sc)
		n, other, live := map[string]int{}, 0, 0
		for _, c := range s.calls {
			what := c.verb + " " + c.kind
			switch {
			case c.write && slices.Contains(columns, what):
				n[what]++
			case c.write:
				other++
			case strings.HasSuffix(c.verb, "live"):
				live++
			}
		}
		total := other
		for _, count := range n {
			total += count
		}
		if sc.Writes > 0 && total > sc.Writes {
			t.Errorf("%s: %d writes, want at most %d", sc.Name, total, sc.Writes)
		}
		fmt.Fprintf(out, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t  %s\n", total, n["apply status Session"], n["create ConfigMap"],
			n["create PersistentVolumeClaim"], n["create Pod"], n["patch Pod"], n["delete Pod"], other, live, sc.Name)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
}

// TestI9 deletes the Session at the end of every step of every scenario, in both ways: nothing that was made for it may stay.
func TestI9(t *testing.T) {
	for _, sc := range scenario.All() {
		if sc.Variant {
			continue
		}
		t.Run(sc.Name, func(t *testing.T) {
			for n := 1; n <= len(sc.Steps); n++ {
				for _, foreground := range []bool{false, true} {
					cut := sc
					cut.Steps = append(slices.Clone(sc.Steps[:n]), scenario.Deletion(foreground))
					inBubble(t, fmt.Sprintf("after step %d, foreground %t", n, foreground), func(t *testing.T) { newStage(t, 1, 0).play(cut) })
				}
			}
		})
	}
}

// TestI10OldGeneration changes the spec between a reconcile's read and its write: no status may speak of a spec that it did not see.
func TestI10OldGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1, 0)
		sc := scenario.All()[0]
		sc.Steps = sc.Steps[:2]
		s.play(sc)
		s.workers[0].beforeWrite = func() {
			session := s.session()
			session.Spec.ActiveDeadlineSeconds = new(int64(5))
			if err := s.server.Update(t.Context(), session); err != nil {
				t.Fatal(err)
			}
		}
		scenario.AgentFails(s)
		s.settle()
		ready := meta.FindStatusCondition(s.session().Status.Conditions, v1alpha1.ConditionReady)
		if s.session().Generation != 2 || ready.ObservedGeneration != 2 {
			t.Errorf("generation %d, observed %d", s.session().Generation, ready.ObservedGeneration)
		}
		for _, seen := range s.statuses {
			if value(seen.Status.ObservedGeneration) != seen.Generation && seen.Generation == 1 {
				t.Errorf("a status of generation %d speaks of %d", seen.Generation, value(seen.Status.ObservedGeneration))
			}
		}
	})
}

// TestCrashKeepsPayer crashes the manager between a pod and the status that names it. Until it is back the run ends, and there is another
// credential that would be chosen first: who pays must not change.
func TestCrashKeepsPayer(t *testing.T) {
	sc := scenario.All()[0]
	sc.Steps = sc.Steps[:1]
	told := toldOnce(t, sc)
	crash := slices.IndexFunc(told.calls, func(c call) bool { return c.verb == "apply status" })
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1, 0)
		s.fault = &fault{at: crash, crash: true}
		for _, o := range sc.Given {
			scenario.Put(s, o)
		}
		scenario.Put(s, build.Session(scenario.Name).Obj())
		s.settle()
		scenario.Put(s, build.Credential("another").Deliveries(v1alpha1.DeliveryEnv).Ready().Obj())
		scenario.NodeDrained(s)
		s.down = false
		s.settle()
		s.Pass(time.Second)
		want := []v1alpha1.ResolvedCredential{{
			Provider: "anthropic", Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: "shared"},
			Source: v1alpha1.CredentialSourceNamespace, Method: v1alpha1.CredentialMethodAPIKey, Delivery: v1alpha1.DeliveryEnv,
		}}
		if diff := cmp.Diff(want, s.session().Status.Credentials); diff != "" || value(s.session().Status.Run) != 2 {
			t.Errorf("run %d is paid by (-want +have):\n%s", value(s.session().Status.Run), diff)
		}
	})
}
