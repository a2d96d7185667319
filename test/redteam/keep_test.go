package redteam

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
)

// TestI2NothingRunsInTheKeep tries to get where keys are.
func TestI2NothingRunsInTheKeep(t *testing.T) {
	podIn := func(namespace string) deed {
		return create(pod(func(_ *place, pod *corev1.Pod) { pod.Namespace = namespace }))
	}
	secretIn := func(namespace, kind string) deed {
		return create(func(p *place) client.Object {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.namespace}, Type: corev1.SecretType(kind)}
		})
	}
	const (
		noPods    = "sandkeep-keep-pods: There are no pods in namespace "
		otherType = "sandkeep-keep-secrets: Secrets in namespace sandkeep-keys have the type sandkeep.dev/api-key"
	)
	tryAll(t, newPlace(t), map[string]attempt{
		"a pod beside the keys":              {everyRight, podIn(v1alpha1.NamespaceKeys), noPods + "sandkeep-keys"},
		"a pod in the vault":                 {everyRight, podIn(v1alpha1.NamespaceVault), noPods + "sandkeep-vault"},
		"a pod beside the keys, as an admin": {admin, podIn(v1alpha1.NamespaceKeys), noPods + "sandkeep-keys"},
		"a pod in the vault, as the keeper":  {keeper, podIn(v1alpha1.NamespaceVault), noPods + "sandkeep-vault"},
		"a sandbox beside the keys": {manager, createSandbox(t, "env-delivery.yaml", func(p *corev1.Pod) {
			p.Namespace = v1alpha1.NamespaceKeys
		}), noPods + "sandkeep-keys"},
		"a Secret for something else":       {everyRight, secretIn(v1alpha1.NamespaceKeys, "Opaque"), otherType},
		"a Secret of no type":               {admin, secretIn(v1alpha1.NamespaceKeys, ""), otherType},
		"a key":                             {everyRight, secretIn(v1alpha1.NamespaceKeys, v1alpha1.SecretTypeAPIKey), ""},
		"a Secret for something, elsewhere": {everyRight, secretIn("default", "Opaque"), ""},
		"a Secret of the vault":             {everyRight, secretIn(v1alpha1.NamespaceVault, "Opaque"), ""},
	})
}

// TestI4NobodyGivesAwayAKeyThatTheyMayNotRead tries to have a Secret used by naming it.
func TestI4NobodyGivesAwayAKeyThatTheyMayNotRead(t *testing.T) {
	spec := func(change tree) tree { return tree{"spec": change} }
	ref := spec(tree{"apiKey": tree{"secretRef": tree{"name": "others"}}})
	entry := spec(tree{"apiKey": tree{"secretRef": tree{"key": "other"}}})
	byEnv := spec(tree{"deliveries": []string{"Env"}})
	shared := clusterCredentialNamed("")
	p := newPlace(t)
	p.createFor(t, clusterCredentialNamed(p.namespace))
	another := func(p *place) client.Object {
		c := credential(p)
		c.Name = "another"
		return c
	}
	const (
		refused = `sandkeep-credential-secrets: Whoever says how the key of a credential is used must be able to read it: ask for the right to get Secret `
		ofOwn   = refused + `"provider" in namespace test-`
		ofKeep  = refused + `"provider" in namespace sandkeep-keys`
	)
	tryAll(t, p, map[string]attempt{
		"a credential for a Secret that one may not read":     {tenant, create(another), ofOwn},
		"another Secret for a credential":                     {tenant, patch(credentialNamed(credentialName), ref), refused + `"others" in namespace test-`},
		"another entry of the Secret":                         {tenant, patch(credentialNamed(credentialName), entry), ofOwn},
		"the key in the sandbox, where it was kept out":       {tenant, patch(credentialNamed(credentialName), byEnv), ofOwn},
		"a shared credential for a key that one may not read": {keeperOfAll, create(func(p *place) client.Object { return clusterCredentialNamed(p.namespace + "-2") }), ofKeep},
		"another Secret for a shared credential":              {keeperOfAll, patch(shared, ref), refused + `"others" in namespace sandkeep-keys`},
		"another host for a shared credential":                {keeperOfAll, patch(shared, spec(tree{"hosts": []string{"evil.example"}})), ofKeep},
		"a credential for a Secret that one may read":         {editor, create(another), ""},
		"another Secret that one may read":                    {editor, patch(credentialNamed(credentialName), ref), ""},
		"a label on a credential":                             {tenant, patch(credentialNamed(credentialName), tree{"metadata": tree{"labels": tree{"a": "b"}}}), ""},
		"the same Secret again":                               {tenant, patch(credentialNamed(credentialName), spec(tree{"apiKey": tree{"secretRef": tree{"name": "provider"}}})), ""},
		"the end of a credential":                             {tenant, remove(credentialNamed(credentialName)), ""},
		"a shared credential for a key that one may read":     {keyHolder, create(func(p *place) client.Object { return clusterCredentialNamed(p.namespace + "-2") }), ""},
		"another host, by one who may read the key":           {keyHolder, patch(shared, spec(tree{"hosts": []string{"other.example"}})), ""},
		"more namespaces, without the right to read the key":  {keeperOfAll, patch(shared, spec(tree{"allow": tree{"namespaces": tree{"from": "All"}}})), ""},
		"another priority, without the right to read the key": {keeperOfAll, patch(shared, spec(tree{"priority": 7})), ""},
	})
}

func clusterCredentialNamed(name string) *v1alpha1.ClusterCredential {
	return &v1alpha1.ClusterCredential{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ClusterCredentialSpec{
		Provider: "anthropic", APIKey: keyIn("provider"),
	}}
}

// TestI4OnlyThoseWhoMayGrantLabelNamespaces tries to let a namespace be chosen by a ClusterCredential.
func TestI4OnlyThoseWhoMayGrantLabelNamespaces(t *testing.T) {
	const (
		label   = v1alpha1.LabelAccessPrefix + "anthropic"
		refused = "sandkeep-access-labels: Labels of access.sandkeep.dev give a namespace the use of keys"
	)
	labels := func(value any) tree { return tree{"metadata": tree{"labels": tree{label: value}}} }
	namespace := &corev1.Namespace{}
	withLabel := create(func(p *place) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace + "-2", Labels: map[string]string{label: "true"}}}
	})
	bare, granted := newPlace(t), newPlace(t)
	if err := granted.api.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: granted.namespace}},
		client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"`+label+`":"true"}}}`))); err != nil {
		t.Fatal(err)
	}
	tryAll(t, bare, map[string]attempt{
		"a namespace with the label":            {namespacer, withLabel, refused},
		"the label on a namespace":              {namespacer, patch(namespace, labels("true")), refused},
		"the label by way of the status":        {namespacer, patch(namespace, labels("true"), "status"), refused},
		"a namespace with the label, permitted": {keeperOfAll, withLabel, ""},
		"the label on a namespace, permitted":   {keeperOfAll, patch(namespace, labels("true")), ""},
		"the label on a namespace, as an admin": {admin, patch(namespace, labels("true")), ""},
		"another label":                         {namespacer, patch(namespace, tree{"metadata": tree{"labels": tree{"a": "b"}}}), ""},
	})
	tryAll(t, granted, map[string]attempt{
		"another value of the label":               {namespacer, patch(namespace, labels("false")), refused},
		"no label":                                 {namespacer, patch(namespace, labels(nil)), refused},
		"no label, permitted":                      {keeperOfAll, patch(namespace, labels(nil)), ""},
		"another label where there is one of ours": {namespacer, patch(namespace, tree{"metadata": tree{"labels": tree{"a": "b"}}}), ""},
	})
}
