package integration

import (
	"context"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/test/cluster"
)

// Who the manager and the keeper are that may be installed on the cluster.
const (
	installedManager = "system:serviceaccount:sandkeep-system:sandkeep-manager"
	installedKeeper  = "system:serviceaccount:sandkeep-system:sandkeep-keeper"
)

// fence keeps the manager and the keeper that are installed on the cluster away from the objects of the stage: for them time does not stand
// still, and they may be another version. They go on with all other objects.
func (s *stage) fence() {
	s.Helper()
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{
					written("sandkeep.dev", "*/*"), written("", "pods", "configmaps", "persistentvolumeclaims"),
				},
			},
			// Objects without a namespace match every selector.
			Validations: []admissionv1.Validation{{
				Expression: fmt.Sprintf("!(request.userInfo.username in ['%s', '%s']) || (request.namespace == '' && !request.name.startsWith('%s-'))",
					installedManager, installedKeeper, s.namespace),
				Message: "fenced off",
			}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: s.namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	for _, o := range []client.Object{policy, binding} {
		s.must(s.api.Create(s.Context(), o))
		s.Cleanup(func() { s.must(client.IgnoreNotFound(s.api.Delete(context.WithoutCancel(s.Context()), o))) })
	}
	outsider := s.as(installedManager)
	s.await("the fence", func() string {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "probe"}}
		err := outsider.Create(s.Context(), probe, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "fenced off") {
			return "the manager may still write"
		}
		return ""
	})
}

// written is the rule for writes of resources.
func written(group string, resources ...string) admissionv1.NamedRuleWithOperations {
	return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete},
		Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: resources},
	}}
}

// as is a client for another user, with an admin's rights.
func (s *stage) as(user string) client.Client {
	s.Helper()
	config := rest.CopyConfig(s.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	c, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	s.must(err)
	return c
}
