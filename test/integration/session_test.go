// Package integration plays the scenarios of Sessions on a real API server, with the real garbage collector and with two managers at
// work at the same time.
package integration

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/test/cluster"
	"github.com/sandkeep/sandkeep/test/integration/scenario"
)

// TestScenarios plays every scenario with two managers, and then deletes the Session: nothing may be left of it (I9).
func TestScenarios(t *testing.T) {
	cluster.ApplyCRDs(t, cluster.Client(t))
	for _, sc := range scenario.All() {
		if sc.Variant || sc.InMemory != "" {
			continue
		}
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			sc.Steps = append(sc.Steps, scenario.Deletion(false))
			newStage(t, 2).play(sc)
		})
	}
}

// TestUnseen wants the CRD's default status on a Session that no manager has seen.
func TestUnseen(t *testing.T) {
	cluster.ApplyCRDs(t, cluster.Client(t))
	s := newStage(t, 0)
	scenario.Put(s, build.Session(scenario.Name).Obj())
	seen := scenario.Look(s).Session
	if diff := cmp.Diff(v1alpha1.SessionStatus{ObservedGeneration: new(int64(-1))}, seen.Status); diff != "" {
		t.Errorf("status (-want +have):\n%s", diff)
	}
	if have := scenario.Kstatus(seen); have != status.InProgressStatus {
		t.Errorf("kstatus reads %s", have)
	}
}

// TestStatusOwner wants that the manager alone owns the status that it writes, field by field.
func TestStatusOwner(t *testing.T) {
	cluster.ApplyCRDs(t, cluster.Client(t))
	s := newStage(t, 1)
	s.play(named(t, "an agent does its work"))
	var owners []string
	for _, entry := range scenario.Look(s).Session.ManagedFields {
		if bytes.Contains(entry.FieldsV1.GetRawBytes(), []byte(`"f:status"`)) {
			owners = append(owners, strings.Join([]string{entry.Manager, string(entry.Operation), entry.Subresource}, " "))
		}
	}
	if diff := cmp.Diff([]string{v1alpha1.FieldOwnerManager + " Apply status"}, owners); diff != "" {
		t.Errorf("owners of status (-want +have):\n%s", diff)
	}
}

// TestKubectlWait wants that kubectl wait returns at the end, however a Session ends.
func TestKubectlWait(t *testing.T) {
	cluster.ApplyCRDs(t, cluster.Client(t))
	for name, conditions := range map[string][]string{
		"an agent does its work":                 {"condition=Succeeded", "condition=Finished", "condition=Ready"},
		"a run fails for good with PushRejected": {"condition=Finished", "condition=Succeeded=False", "condition=Stalled"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 1)
			sc := named(t, name)
			last := sc.Steps[len(sc.Steps)-1]
			sc.Steps = sc.Steps[:len(sc.Steps)-1]
			s.play(sc)
			waits := make([]*exec.Cmd, 0, len(conditions))
			for _, condition := range conditions {
				waits = append(waits, kubectlWait(t, s, condition))
			}
			s.play(scenario.Scenario{Steps: []scenario.Step{last}})
			for i, w := range waits {
				if err := w.Wait(); err != nil {
					t.Errorf("kubectl wait --for=%s: %v\n%s", conditions[i], err, w.Stderr)
				}
			}
		})
	}
}

// kubectlWait starts kubectl wait for a condition of the Session.
func kubectlWait(t *testing.T, s *stage, condition string) *exec.Cmd {
	t.Helper()
	wait := exec.CommandContext(t.Context(), "kubectl", "--kubeconfig", kubeconfig(t, s), "--namespace", s.namespace,
		"wait", "--for", condition, "--timeout", patience.String(), "sessions.sandkeep.dev/"+scenario.Name)
	wait.Stderr = &bytes.Buffer{}
	if err := wait.Start(); err != nil {
		t.Fatal(err)
	}
	return wait
}

// kubeconfig writes the way to the cluster for kubectl.
func kubeconfig(t *testing.T, s *stage) string {
	t.Helper()
	path := t.TempDir() + "/kubeconfig"
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {
			Server: s.config.Host, CertificateAuthorityData: s.config.CAData, CertificateAuthority: s.config.CAFile,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {
			ClientCertificateData: s.config.CertData, ClientKeyData: s.config.KeyData, ClientCertificate: s.config.CertFile, ClientKey: s.config.KeyFile,
			Token: s.config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// named finds a scenario.
func named(t *testing.T, name string) scenario.Scenario {
	t.Helper()
	for _, sc := range scenario.All() {
		if sc.Name == name {
			return sc
		}
	}
	t.Fatalf("no scenario %q", name)
	return scenario.Scenario{}
}
