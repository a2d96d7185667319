// Package sandbox turns a Session, its class and its credentials into the objects of a sandbox, and reads what became of
// them. It is pure: no client, no clock, no environment.
package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// maxName is the length of a DNS label (RFC 1123). Pod names may be longer, but become host names.
const maxName = 63

// runInfix stands between the name of a Session and the number of a run.
const runInfix = "-sandbox-"

// PodName is the name of the pod and of the ConfigMap of one run of a Session.
func PodName(session string, run int32) string {
	return bounded(session, runInfix+strconv.Itoa(int(run)))
}

// WorkspaceName is the name of the volume claim of a Session.
func WorkspaceName(session string) string {
	return bounded(session, "-workspace")
}

// bounded appends a suffix to a name and cuts the name so that both fit into maxName; a hash keeps cut names apart.
func bounded(name, suffix string) string {
	if len(name)+len(suffix) <= maxName {
		return name + suffix
	}
	sum := sha256.Sum256([]byte(name))
	suffix = "-" + hex.EncodeToString(sum[:])[:10] + suffix
	return strings.TrimRight(name[:maxName-len(suffix)], "-.") + suffix
}

// RunOf is the number of the run that an object was made for, or 0. It is read from the name, which nobody can change.
func RunOf(o metav1.Object) int32 {
	name := o.GetName()
	i := strings.LastIndex(name, runInfix)
	if i < 0 {
		return 0
	}
	run, err := strconv.ParseInt(name[i+len(runInfix):], 10, 32)
	if err != nil {
		return 0
	}
	return int32(run)
}

// LostLabels are the labels by which Sandkeep finds an object of a Session and that somebody took off it.
func LostLabels(o metav1.Object, s *v1alpha1.Session) map[string]string {
	lost := map[string]string{}
	for name, value := range ownLabels(s, RunOf(o)) {
		if o.GetLabels()[name] != value {
			lost[name] = value
		}
	}
	return lost
}

// ownLabels are on everything that is made for one Session.
func ownLabels(s *v1alpha1.Session, run int32) map[string]string {
	labels := map[string]string{
		v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
		v1alpha1.LabelComponent: v1alpha1.ComponentSandbox,
		v1alpha1.LabelSession:   s.Name,
	}
	if run > 0 {
		labels[v1alpha1.LabelRun] = strconv.Itoa(int(run))
	}
	return labels
}

// objectMeta is the metadata of everything that is made for one Session: its name, namespace, labels, and the Session as its
// one owner, by which garbage collection finds it.
func objectMeta(s *v1alpha1.Session, name string, run int32, labels map[string]string) metav1.ObjectMeta {
	all := map[string]string{}
	maps.Copy(all, labels)
	maps.Copy(all, ownLabels(s, run))
	return metav1.ObjectMeta{
		Namespace:       s.Namespace,
		Name:            name,
		Labels:          all,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s, v1alpha1.GroupVersion.WithKind("Session"))},
	}
}

// limitsFile is the key of the ConfigMap of a run under which the manager remembers the limits of its class.
const limitsFile = "limits.json"

// ConfigMap holds the configuration of one run, and the limits of its class for the time when that is gone. It is immutable:
// what a run was told cannot change under it.
func ConfigMap(s *v1alpha1.Session, class *v1alpha1.SessionClass, run int32, config []byte) *corev1.ConfigMap {
	limits, err := json.Marshal(limitsOf(class))
	if err != nil {
		panic(err) // numbers and quantities only
	}
	return &corev1.ConfigMap{
		ObjectMeta: objectMeta(s, PodName(s.Name, run), run, nil),
		Immutable:  new(true),
		Data:       map[string]string{contract.ConfigFile: string(config), limitsFile: string(limits)},
	}
}

// RememberedLimits are the limits of the class that a run was made with; none where its ConfigMap, which may be nil, says nothing.
func RememberedLimits(config *corev1.ConfigMap) v1alpha1.ClassLimits {
	var limits v1alpha1.ClassLimits
	if config == nil || json.Unmarshal([]byte(config.Data[limitsFile]), &limits) != nil {
		return v1alpha1.ClassLimits{}
	}
	return limits
}
