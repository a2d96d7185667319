package schema

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestSandboxesReachTheGatewayOnly reads from the NetworkPolicies who reaches which port of the programs: what parses requests of sandboxes is the gateway alone.
func TestSandboxesReachTheGatewayOnly(t *testing.T) {
	var programs []appsv1.Deployment
	var policies []networkingv1.NetworkPolicy
	for _, object := range build(t, "config/default") {
		switch object.GetKind() {
		case "Deployment":
			programs = append(programs, appsv1.Deployment{})
			typed(t, object, &programs[len(programs)-1])
		case "NetworkPolicy":
			policies = append(policies, networkingv1.NetworkPolicy{})
			typed(t, object, &policies[len(policies)-1])
		}
	}
	got := map[string]map[string]string{}
	for _, program := range programs {
		got[program.Name] = map[string]string{}
		for _, p := range policies {
			if p.Namespace == program.Namespace && selects(t, p, program) {
				openPorts(got[program.Name], p)
			}
		}
	}
	metrics := map[string]string{"metrics": "metrics=enabled"}
	want := map[string]map[string]string{
		"sandkeep-manager": metrics, "sandkeep-keeper": metrics, "sandkeep-gateway": {"metrics": "metrics=enabled", "https": "everybody"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who reaches which port (-want +got):\n%s", diff)
	}
}

// TestASandboxKeepsToOneReplica: status says all that a run has used, and by which key, only if the replica that is told of its end has counted all of it.
func TestASandboxKeepsToOneReplica(t *testing.T) {
	for _, object := range build(t, "config/default") {
		if object.GetKind() != "Service" || object.GetName() != "sandkeep-gateway" {
			continue
		}
		service := corev1.Service{}
		typed(t, object, &service)
		if service.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
			t.Errorf("connections of a sandbox go to any replica: %q", service.Spec.SessionAffinity)
		}
		return
	}
	t.Error("there is no Service of the gateway")
}

func selects(t *testing.T, p networkingv1.NetworkPolicy, program appsv1.Deployment) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(program.Spec.Template.Labels))
}

// openPorts notes the ports that a policy opens, and for which namespaces.
func openPorts(ports map[string]string, p networkingv1.NetworkPolicy) {
	for _, rule := range p.Spec.Ingress {
		who := "everybody"
		for _, peer := range rule.From {
			who = metav1.FormatLabelSelector(peer.NamespaceSelector)
		}
		for _, port := range rule.Ports {
			ports[port.Port.String()] = who
		}
	}
}
