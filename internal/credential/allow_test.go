package credential

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

func TestI4ANamespaceUsesAClusterCredentialOnlyWhereAnAdminAllowsIt(t *testing.T) {
	team := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a", Labels: map[string]string{
		corev1.LabelMetadataName: "team-b", v1alpha1.LabelAccessPrefix + "anthropic": "yes",
	}}}
	labelled := func(name, value string) *v1alpha1.AllowedNamespaces {
		return &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{name: value}}}
	}
	matching := func(key string, operator metav1.LabelSelectorOperator, values ...string) *v1alpha1.AllowedNamespaces {
		return &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}}
	}
	cases := map[string]struct {
		namespace *corev1.Namespace
		allow     *v1alpha1.AllowedNamespaces
		want      bool
	}{
		"it is named":                          {team, &v1alpha1.AllowedNamespaces{Names: []string{"team-b", "team-a"}}, true},
		"others are named":                     {team, &v1alpha1.AllowedNamespaces{Names: []string{"team-b", "team-a2", "Team-a"}}, false},
		"a star is a name like any other":      {team, &v1alpha1.AllowedNamespaces{Names: []string{"*"}}, false},
		"none is named":                        {team, &v1alpha1.AllowedNamespaces{}, false},
		"all may":                              {team, &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromAll}, true},
		"namespaces are chosen in another way": {team, &v1alpha1.AllowedNamespaces{From: "Same"}, false},
		"its label is asked for":               {team, labelled(v1alpha1.LabelAccessPrefix+"anthropic", "yes"), true},
		"another value is asked for":           {team, labelled(v1alpha1.LabelAccessPrefix+"anthropic", "no"), false},
		"its name is asked for":                {team, labelled(corev1.LabelMetadataName, "team-a"), true},
		"the name that its label forges":       {team, labelled(corev1.LabelMetadataName, "team-b"), false},
		"all but the name that it has":         {team, matching(corev1.LabelMetadataName, metav1.LabelSelectorOpNotIn, "team-a"), false},
		"an empty selector selects nothing":    {team, &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{}}, false},
		"a broken selector selects nothing":    {team, matching("x", "Sometimes"), false},
		"the namespace is not known":           {nil, &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromAll}, false},
		"nothing is said of namespaces":        {team, nil, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			credential := build.ClusterCredential("shared").With(func(o *v1alpha1.ClusterCredential) { o.Spec.Allow = &v1alpha1.Allow{Namespaces: c.allow} }).Obj()
			if got := Allows(credential, c.namespace); got != c.want {
				t.Errorf("allowed: %t", got)
			}
		})
	}
	if Allows(build.ClusterCredential("shared").Obj(), team) {
		t.Error("one that allows nobody is allowed to somebody")
	}
	if diff := cmp.Diff(map[string]string{corev1.LabelMetadataName: "team-b", v1alpha1.LabelAccessPrefix + "anthropic": "yes"}, team.Labels); diff != "" {
		t.Errorf("looking at a namespace changed it:\n%s", diff)
	}
}

func TestAKeyStaysInTheKeepUnlessTheCredentialSaysOtherwise(t *testing.T) {
	cases := map[string]struct{ listed, want []v1alpha1.Delivery }{
		"nothing is listed": {nil, []v1alpha1.Delivery{v1alpha1.DeliveryProxy}},
		"an empty list":     {[]v1alpha1.Delivery{}, []v1alpha1.Delivery{v1alpha1.DeliveryProxy}},
		"another is listed": {[]v1alpha1.Delivery{env}, []v1alpha1.Delivery{env}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Deliveries(c.listed)); diff != "" {
				t.Errorf("deliveries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyKeysOfTheKeepComeByTheChannel(t *testing.T) {
	type way struct{ ByChannel, NeedsGateway bool }
	got := map[string]way{}
	for _, kind := range []v1alpha1.CredentialKind{v1alpha1.CredentialKindCredential, v1alpha1.CredentialKindClusterCredential} {
		for _, delivery := range []v1alpha1.Delivery{v1alpha1.DeliveryProxy, v1alpha1.DeliveryEnv, v1alpha1.DeliveryFile} {
			r := Resolved{Ref: v1alpha1.CredentialReference{Kind: kind}, Delivery: delivery}
			got[string(kind)+" by "+string(delivery)] = way{r.ByChannel(), r.NeedsGateway()}
		}
	}
	want := map[string]way{
		"Credential by Proxy": {false, true}, "Credential by Env": {false, false}, "Credential by File": {false, false},
		"ClusterCredential by Proxy": {false, true}, "ClusterCredential by Env": {true, true}, "ClusterCredential by File": {true, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ways (-want +got):\n%s", diff)
	}
}
