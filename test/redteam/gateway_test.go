package redteam

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/keep"
)

// TestWhoeverTakesOverTheGatewayWritesItsOwnObjectsOnly tries to write what else is in the namespace of the programs.
func TestWhoeverTakesOverTheGatewayWritesItsOwnObjectsOnly(t *testing.T) {
	p := newPlace(t)
	meta := func(name, label string) metav1.ObjectMeta {
		m := metav1.ObjectMeta{Namespace: v1alpha1.NamespaceSystem, Name: name}
		if label != "" {
			m.Labels = map[string]string{label: ""}
		}
		return m
	}
	configMap := func(name, label string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: meta(name, label)}
	}
	lease := func(name, label string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: meta(name, label)}
	}
	created := func(o client.Object) deed { return create(func(*place) client.Object { return o }) }
	name := p.namespace
	bundle, election := configMap("sandkeep-gateway-x"+name, ""), lease("leader-"+name, "")
	own, ownLease := configMap("sandkeep-limits-"+name, v1alpha1.LabelLimits), lease("sandkeep-gateway-"+name, v1alpha1.LabelPulse)
	for _, o := range []client.Object{bundle, election, own, ownLease} {
		p.createFor(t, o)
	}
	const refused = "sandkeep-gateway-objects: The gateway writes what it saw of credentials, what it counts for their limits, and its own Lease only"
	data := tree{"data": tree{"ca.crt": "mine"}}
	tryAll(t, p, map[string]attempt{
		"another ConfigMap":                        {gateway, created(configMap("mine-"+name, "")), refused},
		"another ConfigMap with a label of ours":   {gateway, created(configMap("mine-"+name, v1alpha1.LabelLimits)), refused},
		"another ConfigMap that says of what kind": {gateway, created(configMap("mine-"+name, "none")), refused},
		"another Lease that says of what kind":     {gateway, created(lease("leader-3"+name, "none")), refused},
		"what sandboxes trust":                     {gateway, created(configMap(keep.GatewayBundle, v1alpha1.LabelObservations)), refused},
		"counts without their label":               {gateway, created(configMap("sandkeep-limits-2"+name, "")), refused},
		"a change of what sandboxes trust":         {gateway, patch(bundle, data), refused},
		"a label that makes it the gateway's":      {gateway, patch(bundle, tree{"metadata": tree{"labels": tree{v1alpha1.LabelObservations: ""}}}), refused},
		"the end of what sandboxes trust":          {gateway, remove(bundle), refused},
		"the Lease of a leader":                    {gateway, patch(election, tree{"spec": tree{"holderIdentity": "me"}}), refused},
		"a Lease with a leader's name":             {gateway, created(lease("leader-2"+name, v1alpha1.LabelPulse)), refused},
		"what the gateway saw":                     {gateway, created(configMap("sandkeep-gateway-2"+name, v1alpha1.LabelObservations)), ""},
		"what the gateway counts":                  {gateway, created(configMap("sandkeep-limits-2"+name, v1alpha1.LabelLimits)), ""},
		"more of what it counts":                   {gateway, patch(own, tree{"data": tree{"a": "b"}}), ""},
		"the end of what it counted":               {gateway, remove(own), ""},
		"its own Lease":                            {gateway, patch(ownLease, tree{"spec": tree{"holderIdentity": "me"}}), ""},
		"a ConfigMap of the programs, by another":  {everyRight, created(configMap("mine-"+name, "")), ""},
	})
}
