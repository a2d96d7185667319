// Package v1alpha1 holds the Kinds of the API group sandkeep.dev.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
// +groupName=sandkeep.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every Kind in this package.
var GroupVersion = schema.GroupVersion{Group: "sandkeep.dev", Version: "v1alpha1"}

// SchemeGroupVersion is GroupVersion under the name that the generated apply configurations ask for.
var SchemeGroupVersion = GroupVersion

// AddToScheme adds the Kinds of this package to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Session{}, &SessionList{},
		&SessionClass{}, &SessionClassList{},
		&APIProvider{}, &APIProviderList{},
		&Credential{}, &CredentialList{},
		&ClusterCredential{}, &ClusterCredentialList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
