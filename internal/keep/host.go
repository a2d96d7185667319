package keep

import (
	"slices"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// HostsOf are the hosts of a provider, sorted, each once.
func HostsOf(provider *v1alpha1.APIProvider) []string {
	hosts := make([]string, 0, len(provider.Spec.Endpoints))
	for _, e := range provider.Spec.Endpoints {
		hosts = append(hosts, e.Host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Outside are the hosts of a provider that are not among the ones to which a key may go, sorted, each once.
func Outside(provider *v1alpha1.APIProvider, hosts []string) []string {
	return slices.DeleteFunc(HostsOf(provider), func(h string) bool { return slices.Contains(hosts, h) })
}
