package install

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// capable is a cluster that lacks nothing.
func capable() Facts {
	return Facts{
		Version: "v1.36.3", Minor: 36, DefaultStorageClass: "standard", Platforms: []string{"linux/amd64"}, NetworkPlugin: "cilium",
	}
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		lacks func(*Facts)
		want  Severity
		parts []string
	}{
		"Kubernetes is too old":             {func(f *Facts) { f.Version, f.Minor = "v1.32.1", 32 }, Blocks, []string{"v1.32.1", "1.33", "upgrade"}},
		"the user may not make definitions": {func(f *Facts) { f.Denied = []string{"create customresourcedefinitions", "escalate clusterroles"} }, Blocks, []string{"create customresourcedefinitions, escalate clusterroles", "make dist"}},
		"no node is ready":                  {func(f *Facts) { f.Platforms = nil }, Blocks, []string{"no node is ready"}},
		"all nodes are of another kind":     {func(f *Facts) { f.Platforms = []string{"linux/arm64"} }, Blocks, []string{"linux/arm64", "linux/amd64"}},
		"there is no default StorageClass":  {func(f *Facts) { f.DefaultStorageClass = "" }, Limits, []string{"spec.workspace", "storageClassName"}},
		"owners are not put in":             {func(f *Facts) { f.Version, f.Minor = "v1.35.2", 35 }, Limits, []string{"v1.35.2", "1.36", "spec.owner.username", "kubectl auth whoami"}},
		"the network plugin is unknown":     {func(f *Facts) { f.NetworkPlugin = "" }, Note, []string{"NetworkPolicy", "no network plugin was recognised"}},
		"the network plugin enforces none":  {func(f *Facts) { f.NetworkPlugin = "flannel" }, Note, []string{"NetworkPolicy", "flannel"}},
		"policy engines are at work":        {func(f *Facts) { f.Policies = []string{"Gatekeeper", "Kyverno"} }, Note, []string{"Gatekeeper and Kyverno", "PodRejected"}},
		"namespaces enforce Pod Security":   {func(f *Facts) { f.Enforcing = []string{"a", "b", "c", "d", "e"} }, Note, []string{"a, b, c and 2 more namespaces", "PodRejected"}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := capable()
			test.lacks(&facts)
			findings := Judge(facts)
			if len(findings) != 1 || findings[0].Severity != test.want {
				t.Fatalf("found %+v, want one finding that %s", findings, test.want)
			}
			for _, part := range test.parts {
				if !strings.Contains(findings[0].Text, part) {
					t.Errorf("%q lacks %q", findings[0].Text, part)
				}
			}
		})
	}
}

func TestJudgeFindsNothingWrongWithACapableCluster(t *testing.T) {
	if findings := Judge(capable()); len(findings) > 0 {
		t.Errorf("found %+v, want nothing", findings)
	}
}

func TestJudgeAcceptsTheOldestVersion(t *testing.T) {
	facts := capable()
	facts.Minor = Oldest
	for _, finding := range Judge(facts) {
		if finding.Severity == Blocks {
			t.Errorf("found %+v, want nothing that blocks", finding)
		}
	}
}

func TestJudgePutsTheWorstFirst(t *testing.T) {
	facts := capable()
	facts.NetworkPlugin, facts.DefaultStorageClass, facts.Minor = "", "", 20
	var severities []Severity
	for _, f := range Judge(facts) {
		severities = append(severities, f.Severity)
	}
	if diff := cmp.Diff([]Severity{Blocks, Limits, Note}, severities); diff != "" {
		t.Error(diff)
	}
}
