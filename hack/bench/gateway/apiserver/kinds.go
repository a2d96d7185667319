package apiserver

import (
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// kinds are what a gateway asks for.
var kinds = slices.Concat(
	inGroup("", "v1", true, "pods/Pod", "secrets/Secret", "configmaps/ConfigMap", "services/Service"),
	inGroup("", "v1", false, "namespaces/Namespace"),
	inGroup("coordination.k8s.io", "v1", true, "leases/Lease"),
	inGroup("discovery.k8s.io", "v1", true, "endpointslices/EndpointSlice"),
	inGroup("events.k8s.io", "v1", true, "events/Event"),
	inGroup("authentication.k8s.io", "v1", false, "tokenreviews/TokenReview"),
	inGroup("authorization.k8s.io", "v1", false, "subjectaccessreviews/SubjectAccessReview"),
	inGroup("admissionregistration.k8s.io", "v1", false,
		"validatingadmissionpolicies/ValidatingAdmissionPolicy", "validatingadmissionpolicybindings/ValidatingAdmissionPolicyBinding",
		"mutatingadmissionpolicies/MutatingAdmissionPolicy", "mutatingadmissionpolicybindings/MutatingAdmissionPolicyBinding"),
	inGroup(v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version, true, "sessions/Session", "credentials/Credential"),
	inGroup(v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version, false, "apiproviders/APIProvider", "clustercredentials/ClusterCredential"),
)

func inGroup(group, version string, namespaced bool, names ...string) []metav1.APIResource {
	var list []metav1.APIResource
	for _, name := range names {
		resource, kind, _ := strings.Cut(name, "/")
		list = append(list, metav1.APIResource{
			Name: resource, Kind: kind, Group: group, Version: version, Namespaced: namespaced, Verbs: metav1.Verbs{"get", "list", "watch", "create", "patch"},
		})
	}
	return list
}

func kindOf(resource string) metav1.APIResource {
	i := slices.IndexFunc(kinds, func(k metav1.APIResource) bool { return k.Name == resource })
	if i < 0 {
		return metav1.APIResource{}
	}
	return kinds[i]
}

func apiVersion(k metav1.APIResource) string {
	return schema.GroupVersion{Group: k.Group, Version: k.Version}.String()
}

// resourceOf is the resource of a Kind; empty for one that is not known.
func resourceOf(gvk schema.GroupVersionKind) string {
	i := slices.IndexFunc(kinds, func(k metav1.APIResource) bool {
		return k.Kind == gvk.Kind && k.Group == gvk.Group && k.Version == gvk.Version
	})
	if i < 0 {
		return ""
	}
	return kinds[i].Name
}

// discovery tells clients what there is (https://kubernetes.io/docs/concepts/overview/kubernetes-api/, "Unaggregated discovery").
func discovery(path string) (any, error) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case path == "/api":
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}, nil
	case path == "/apis":
		return groups(), nil
	case len(parts) == 2 && parts[0] == "api":
		return resources("", parts[1]), nil
	case len(parts) == 3 && parts[0] == "apis":
		return resources(parts[1], parts[2]), nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{}, path)
}

func groups() metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, k := range kinds {
		known := slices.ContainsFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == k.Group })
		if k.Group == "" || known {
			continue
		}
		version := metav1.GroupVersionForDiscovery{GroupVersion: k.Group + "/" + k.Version, Version: k.Version}
		list.Groups = append(list.Groups, metav1.APIGroup{Name: k.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version})
	}
	return list
}

func resources(group, version string) metav1.APIResourceList {
	list := metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: schema.GroupVersion{Group: group, Version: version}.String(),
	}
	for _, k := range kinds {
		if k.Group == group && k.Version == version {
			list.APIResources = append(list.APIResources, k)
		}
	}
	return list
}
