package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/gateway/pulse"
)

func texts(list []netip.Prefix) []string {
	var all []string
	for _, p := range list {
		all = append(all, p.String())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestTheGatewayConnectsNeitherToItselfNorToTheAPIServer(t *testing.T) {
	cases := map[string]struct {
		environment map[string]string
		cidrs       string
		want        []string
		err         bool
	}{
		"in a cluster":              {map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1", "POD_IPS": "10.1.2.3"}, "", []string{"10.1.2.3/32", "10.96.0.1/32"}, false},
		"in a cluster of IPv6":      {map[string]string{"KUBERNETES_SERVICE_HOST": "fd00::1", "POD_IPS": "fd00::2"}, "", []string{"fd00::1/128", "fd00::2/128"}, false},
		"in a cluster of both":      {map[string]string{"POD_IPS": "10.1.2.3,2600:1900::5"}, "", []string{"10.1.2.3/32", "2600:1900::5/128"}, false},
		"what an admin knows":       {nil, "34.1.2.3, 64:ff9b:2::/96,192.168.7.9/16,", []string{"192.168.0.0/16", "34.1.2.3/32", "64:ff9b:2::/96"}, false},
		"outside":                   {nil, "", nil, false},
		"with a name in a place":    {map[string]string{"POD_IPS": "10.1.2.3,gateway"}, "", nil, true},
		"with a name for a range":   {nil, "10.0.0.0/8,nodes", nil, true},
		"with a range that is none": {nil, "10.0.0.0/33", nil, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := fixedAddresses(func(name string) string { return c.environment[name] }, c.cidrs)
			if diff := cmp.Diff(c.want, texts(got)); diff != "" || (err != nil) != c.err {
				t.Errorf("error %v, addresses (-want +got):\n%s", err, diff)
			}
		})
	}
}

// running is a cluster with a Service of Sandkeep's and the API server's.
func running() *fake.ClientBuilder {
	own := metav1.ObjectMeta{Namespace: v1alpha1.NamespaceSystem, Name: "sandkeep-gateway"}
	kubernetes := metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: apiServer}
	return fake.NewClientBuilder().WithScheme(managerOptions(options{}, &pulse.Trouble{Clock: clock.RealClock{}}).Scheme).WithObjects(
		&corev1.Service{ObjectMeta: own, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.7", ClusterIPs: []string{"10.96.0.7", "fd00::7"}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.NamespaceSystem, Name: "headless"}, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}},
		&corev1.Service{ObjectMeta: kubernetes, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1"}}},
		&discoveryv1.EndpointSlice{ObjectMeta: own, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.1.2.3"}}, {Addresses: []string{"2600:1900::5"}}}},
		&discoveryv1.EndpointSlice{ObjectMeta: kubernetes, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"34.1.2.3"}}}},
	)
}

func TestTheGatewayConnectsNeitherToServicesOfSandkeepNorToWhatIsBehindThem(t *testing.T) {
	o := ownAddresses{reader: running().Build(), fixed: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}}
	for range 2 {
		got, err := o.now(t.Context())
		want := []string{"10.1.2.3/32", "10.96.0.1/32", "10.96.0.7/32", "192.168.0.0/16", "2600:1900::5/128", "34.1.2.3/32", "fd00::7/128"}
		if diff := cmp.Diff(want, texts(got)); diff != "" || err != nil {
			t.Errorf("error %v, addresses (-want +got):\n%s", err, diff)
		}
	}
}

func TestWhileOwnAddressesAreNotKnownNoneIsGoodEnough(t *testing.T) {
	down := interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return errors.New("the API server is away")
	}}
	if got, err := (ownAddresses{reader: running().WithInterceptorFuncs(down).Build()}).now(t.Context()); err == nil {
		t.Errorf("got %v", got)
	}
}

func TestTheGatewaySeesServicesOfSandkeepAndOfTheAPIServerOnly(t *testing.T) {
	seen := 0
	for kind, by := range cacheOptions(&pulse.Trouble{Clock: clock.RealClock{}}).ByObject {
		switch kind.(type) {
		case *corev1.Service, *discoveryv1.EndpointSlice:
			seen++
			other := by.Namespaces[metav1.NamespaceDefault]
			if _, ok := by.Namespaces[v1alpha1.NamespaceSystem]; !ok || len(by.Namespaces) != 2 || other.FieldSelector == nil || other.FieldSelector.String() != "metadata.name=kubernetes" {
				t.Errorf("%T of %v", kind, by.Namespaces)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d of 2 Kinds are bounded", seen)
	}
}
