// Package sandbox turns a Session, its class and its credentials into the objects of a sandbox, and reads what became of
// them. It is pure: no client, no clock, no environment.
package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// maxName is the length of a DNS label (RFC 1123). Pod names may be longer, but become host names.
const maxName = 63

// PodName is the name of the pod and of the ConfigMap of one run of a Session.
func PodName(session string, run int32) string {
	return bounded(fmt.Sprintf("%s-sandbox-%d", session, run))
}

// WorkspaceName is the name of the volume claim of a Session.
func WorkspaceName(session string) string {
	return bounded(session + "-workspace")
}

// bounded cuts a name to maxName; a hash of the whole keeps cut names apart.
func bounded(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	suffix := "-" + hex.EncodeToString(sum[:])[:10]
	return strings.TrimRight(name[:maxName-len(suffix)], "-.") + suffix
}

// RunOf is the number of the run that an object was made for, or 0.
func RunOf(o metav1.Object) int32 {
	run, err := strconv.ParseInt(o.GetLabels()[v1alpha1.LabelRun], 10, 32)
	if err != nil {
		return 0
	}
	return int32(run)
}

// objectMeta is the metadata of everything that is made for one Session: its name, namespace, labels, and the Session as its
// one owner, by which garbage collection finds it.
func objectMeta(s *v1alpha1.Session, name string, run int32, labels map[string]string) metav1.ObjectMeta {
	all := map[string]string{}
	maps.Copy(all, labels)
	all[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	all[v1alpha1.LabelComponent] = v1alpha1.ComponentSandbox
	all[v1alpha1.LabelSession] = s.Name
	if run > 0 {
		all[v1alpha1.LabelRun] = strconv.Itoa(int(run))
	}
	return metav1.ObjectMeta{
		Namespace:       s.Namespace,
		Name:            name,
		Labels:          all,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s, v1alpha1.GroupVersion.WithKind("Session"))},
	}
}

// ConfigMap holds the configuration of one run. It is immutable: what a run was told cannot change under it.
func ConfigMap(s *v1alpha1.Session, run int32, key string, config []byte) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: objectMeta(s, PodName(s.Name, run), run, nil),
		Immutable:  new(true),
		Data:       map[string]string{key: string(config)},
	}
}
