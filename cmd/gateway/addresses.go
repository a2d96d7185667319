package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// apiServer is the name of the API server's Service, and of the EndpointSlice behind it, which API servers write themselves.
const apiServer = "kubernetes"

// ownServices are where the Services of the API server and of Sandkeep are.
func ownServices() map[string]cache.Config {
	return map[string]cache.Config{
		v1alpha1.NamespaceSystem: {},
		metav1.NamespaceDefault:  {FieldSelector: fields.OneTermEqualSelector("metadata.name", apiServer)},
	}
}

// ownAddresses are the API server's and Sandkeep's own: a provider at one of them would be a way around every fence.
type ownAddresses struct {
	reader client.Reader
	// fixed do not change while the gateway runs.
	fixed []netip.Prefix
}

// now are the fixed addresses, and those of Services and of what is behind them.
func (o ownAddresses) now(ctx context.Context) ([]netip.Prefix, error) {
	var services corev1.ServiceList
	var backends discoveryv1.EndpointSliceList
	if err := errors.Join(o.reader.List(ctx, &services), o.reader.List(ctx, &backends)); err != nil {
		return nil, fmt.Errorf("list the Services of Sandkeep and of the API server: %w", err)
	}
	list := append([]netip.Prefix(nil), o.fixed...)
	for i := range services.Items {
		spec := &services.Items[i].Spec
		for _, ip := range append(append([]string{spec.ClusterIP}, spec.ClusterIPs...), spec.ExternalIPs...) {
			list = appendAddress(list, ip)
		}
		for _, ingress := range services.Items[i].Status.LoadBalancer.Ingress {
			list = appendAddress(list, ingress.IP)
		}
	}
	for i := range backends.Items {
		for _, endpoint := range backends.Items[i].Endpoints {
			for _, ip := range endpoint.Addresses {
				list = appendAddress(list, ip)
			}
		}
	}
	return list, nil
}

// appendAddress leaves out what is no address: None, an empty text, a name.
func appendAddress(list []netip.Prefix, text string) []netip.Prefix {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return list
	}
	return append(list, netip.PrefixFrom(address, address.BitLen()))
}

// fixedAddresses are what the kubelet says of the API server and of the gateway's own pod, and the ranges that an admin names.
func fixedAddresses(getenv func(string) string, cidrs string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, name := range []string{"KUBERNETES_SERVICE_HOST", "POD_IPS"} {
		for text := range strings.SplitSeq(getenv(name), ",") {
			if text == "" {
				continue
			}
			address, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%s is no address: %w", name, err)
			}
			list = append(list, netip.PrefixFrom(address, address.BitLen()))
		}
	}
	for text := range strings.SplitSeq(cidrs, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		prefix, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--forbidden-cidrs must be ranges such as 10.0.0.0/24, comma-separated: %w", err)
		}
		list = append(list, prefix)
	}
	return list, nil
}

// parsePrefix reads a range, or one address.
func parsePrefix(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}
