package sandbox

import (
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// withVolumes adds the volumes of a sandbox. Only what is rendered from key material is in memory; everything else is on
// disk, with a size that protects the node.
func withVolumes(spec *corev1.PodSpec, in PodInput) {
	configMap := PodName(in.Session.Name, in.Config.Session.Run)
	spec.Volumes = append(spec.Volumes,
		scratch(volumeBin, "64Mi"),
		corev1.Volume{Name: volumeConfig, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: configMap},
		}}},
		memory(volumePrivate, "64Mi"),
		workspaceVolume(in),
		scratch(volumeHome, "4Gi"),
		scratch(volumeTmp, "4Gi"),
	)
	if usesFiles(in.Config) {
		spec.Volumes = append(spec.Volumes, credentialsVolume(in.Config))
	}
}

// workspaceVolume is the Session's claim, or a directory that goes with the pod.
func workspaceVolume(in PodInput) corev1.Volume {
	if workspaceFor(in.Session, in.Class) == nil {
		return scratch(volumeWorkspace, defaultWorkspaceSize.String())
	}
	return corev1.Volume{Name: volumeWorkspace, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: WorkspaceName(in.Session.Name)},
	}}
}

// credentialsVolume projects one file a credential. Its sources are optional, because a failed mount shows in an Event only;
// the install container holds a reference that is not, and that shows in the pod's status.
func credentialsVolume(c contract.Config) corev1.Volume {
	projected := &corev1.ProjectedVolumeSource{DefaultMode: new(int32(0o440))}
	for _, cred := range c.Credentials {
		if cred.Delivery != contract.DeliveryFile {
			continue
		}
		projected.Sources = append(projected.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: cred.SecretName},
			Items:                []corev1.KeyToPath{{Key: cred.SecretKey, Path: path.Join(cred.Provider, contract.APIKeyFile)}},
			Optional:             new(true),
		}})
	}
	return corev1.Volume{Name: volumeCredentials, VolumeSource: corev1.VolumeSource{Projected: projected}}
}

func scratch(name, size string) corev1.Volume {
	return emptyDir(name, size, corev1.StorageMediumDefault)
}

func memory(name, size string) corev1.Volume {
	return emptyDir(name, size, corev1.StorageMediumMemory)
}

func emptyDir(name, size string, medium corev1.StorageMedium) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
		Medium: medium, SizeLimit: new(resource.MustParse(size)),
	}}}
}
