// SPDX-License-Identifier: GPL-2.0
/* A virtual function: a VFIO device that opens only with a vGPU, and NVIDIA's files to make one, $VF/nvidia/…. */
#include <linux/ctype.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "standin.h"

static struct vf *vf_of(struct device *dev)
{
	return container_of((struct vfio_pci_core_device *)dev_get_drvdata(dev), struct vf, core);
}

/* -- files ------------------------------------------------------------------------------------------ */

static ssize_t creatable_vgpu_types_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vf *vf = vf_of(dev);
	int n, length = sysfs_emit(buf, "ID    : vGPU Name\n");

	mutex_lock(&vf->card->lock);
	for (n = 0; n < vgpu_type_count && !vf->type; n++)
		if (type_place(vf->card, &vgpu_types[n]) >= 0)
			length += sysfs_emit_at(buf, length, "%u : %s\n", vgpu_types[n].id, vgpu_types[n].name);
	mutex_unlock(&vf->card->lock);
	return length;
}

static ssize_t current_vgpu_type_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vf *vf = vf_of(dev);
	u32 id;

	mutex_lock(&vf->card->lock);
	id = vf->type ? vf->type->id : 0;
	mutex_unlock(&vf->card->lock);
	return sysfs_emit(buf, "%u\n", id);
}

static int create(struct vf *vf, u32 id)
{
	int n, place;

	if (vf->type)
		return -EBUSY;
	for (n = 0; n < vgpu_type_count; n++) {
		if (vgpu_types[n].id != id)
			continue;
		place = type_place(vf->card, &vgpu_types[n]);
		if (place < 0)
			return place;
		vf->type = &vgpu_types[n];
		vf->place = place;
		return 0;
	}
	return -EINVAL;
}

static ssize_t current_vgpu_type_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t size)
{
	struct vf *vf = vf_of(dev);
	u32 id;
	int error = kstrtou32(buf, 10, &id);

	if (error)
		return error;
	mutex_lock(&vf->card->lock);
	if (id)
		error = create(vf, id);
	else if (vf->open)
		error = -EPERM;
	else
		vf_clear(vf);
	mutex_unlock(&vf->card->lock);
	return error ?: size;
}

static ssize_t vgpu_params_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vf *vf = vf_of(dev);
	ssize_t length;

	mutex_lock(&vf->card->lock);
	length = sysfs_emit(buf, "%s\n", vf->params);
	mutex_unlock(&vf->card->lock);
	return length;
}

/* Replaces the value of a key that is there, or appends `key=value`. */
static int set_param(char *params, const char *pair)
{
	size_t key = strchr(pair, '=') - pair + 1, old;
	char *at = params, *end;

	while (*at && strncmp(at, pair, key)) {
		at = strchrnul(at, ',');
		at += *at == ',';
	}
	if (*at) {
		end = strchrnul(at, ',');
		old = end - at;
		if (strlen(params) - old + strlen(pair) >= PARAMS_SIZE)
			return -EINVAL;
		memmove(at + strlen(pair), end, strlen(end) + 1);
		memcpy(at, pair, strlen(pair));
		return 0;
	}
	if (strlen(params) + 1 + strlen(pair) >= PARAMS_SIZE)
		return -EINVAL;
	if (*params)
		strcat(params, ",");
	strcat(params, pair);
	return 0;
}

static bool is_param(const char *pair)
{
	const char *equals = strchr(pair, '=');
	const char *at;

	if (!equals || equals == pair || !equals[1])
		return false;
	for (at = pair; at < equals; at++)
		if (!isalnum(*at) && *at != '_' && *at != '.')
			return false;
	return true;
}

/* `key=value`, several with spaces or commas between them; one blank forgets all, a single key cannot be. */
static ssize_t vgpu_params_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t size)
{
	struct vf *vf = vf_of(dev);
	char *text, *rest, *pair, *params = NULL;
	int error = 0;

	if (!size || size >= PARAMS_SIZE)
		return -EINVAL;
	text = kstrndup(buf, size, GFP_KERNEL);
	params = kmalloc(PARAMS_SIZE, GFP_KERNEL);
	if (!text || !params) {
		error = -ENOMEM;
		goto out;
	}
	mutex_lock(&vf->card->lock);
	if (!vf->type) {
		error = -ENXIO;
	} else if (vf->open) {
		error = -EPERM;
	} else if (text[0] == ' ' && !*skip_spaces(text)) {
		vf->params[0] = '\0';
	} else {
		strcpy(params, vf->params);
		rest = strim(text);
		error = *rest ? 0 : -EINVAL;
		while (!error && (pair = strsep(&rest, " ,")))
			error = is_param(pair) ? set_param(params, pair) : -EINVAL;
		if (!error)
			strcpy(vf->params, params);
	}
	mutex_unlock(&vf->card->lock);
out:
	kfree(text);
	kfree(params);
	return error ?: size;
}

static ssize_t placement_id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vf *vf = vf_of(dev);
	ssize_t length = -ENXIO;

	mutex_lock(&vf->card->lock);
	if (vf->type)
		length = sysfs_emit(buf, "%u\n", vf->type->units ? vf->place : 0);
	mutex_unlock(&vf->card->lock);
	return length;
}

/* Of a time-sliced one NVIDIA's number for none. */
static ssize_t gpu_instance_id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vf *vf = vf_of(dev);
	ssize_t length = -ENXIO;

	mutex_lock(&vf->card->lock);
	if (vf->type)
		length = sysfs_emit(buf, "%u\n", vf->type->units ? U32_MAX : vf->place);
	mutex_unlock(&vf->card->lock);
	return length;
}

static DEVICE_ATTR_RO(creatable_vgpu_types);
static DEVICE_ATTR_RW(current_vgpu_type);
static DEVICE_ATTR_RW(vgpu_params);
static DEVICE_ATTR_RO(placement_id);
static DEVICE_ATTR_RO(gpu_instance_id);

static struct attribute *vf_attrs[] = {
	&dev_attr_creatable_vgpu_types.attr,
	&dev_attr_current_vgpu_type.attr,
	&dev_attr_vgpu_params.attr,
	&dev_attr_placement_id.attr,
	&dev_attr_gpu_instance_id.attr,
	NULL,
};

static const struct attribute_group vf_group = { .name = "nvidia", .attrs = vf_attrs };

/* -- VFIO ------------------------------------------------------------------------------------------- */

static void set_open(struct vf *vf, bool open)
{
	mutex_lock(&vf->card->lock);
	vf->open = open;
	mutex_unlock(&vf->card->lock);
}

static int vgpu_open(struct vfio_device *vdev)
{
	struct vf *vf = container_of(vdev, struct vf, core.vdev);
	int error = 0;

	mutex_lock(&vf->card->lock);
	if (vf->type)
		vf->open = true;
	else
		error = -ENODEV;
	mutex_unlock(&vf->card->lock);
	if (error)
		return error;
	error = vfio_pci_core_enable(&vf->core);
	if (error) {
		set_open(vf, false);
		return error;
	}
	vfio_pci_core_finish_enable(&vf->core);
	return 0;
}

static void vgpu_close(struct vfio_device *vdev)
{
	vfio_pci_core_close_device(vdev);
	set_open(container_of(vdev, struct vf, core.vdev), false);
}

static const struct vfio_device_ops vgpu_ops = {
	.name = "nvidia-vgpu-vfio-pci-standin",
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = vgpu_open,
	.close_device = vgpu_close,
	.ioctl = vfio_pci_core_ioctl,
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfio_pci_core_read,
	.write = vfio_pci_core_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
};

static void forget(struct vf *vf)
{
	mutex_lock(&vf->card->lock);
	list_del(&vf->sibling);
	mutex_unlock(&vf->card->lock);
	vfio_put_device(&vf->core.vdev);
}

int vgpu_probe(struct pci_dev *pdev)
{
	struct card *card = card_get(pci_physfn(pdev));
	struct vf *vf;
	int error;

	if (IS_ERR(card))
		return PTR_ERR(card);
	vf = vfio_alloc_device(vf, core.vdev, &pdev->dev, &vgpu_ops);
	if (IS_ERR(vf))
		return PTR_ERR(vf);
	vf->card = card;
	mutex_lock(&card->lock);
	list_add_tail(&vf->sibling, &card->vfs);
	mutex_unlock(&card->lock);
	dev_set_drvdata(&pdev->dev, &vf->core);
	error = vfio_pci_core_register_device(&vf->core);
	if (error)
		goto forget;
	error = sysfs_create_group(&pdev->dev.kobj, &vf_group);
	if (error)
		goto unregister;
	return 0;

unregister:
	vfio_pci_core_unregister_device(&vf->core);
forget:
	forget(vf);
	return error;
}

/* Waits for as long as somebody has the device open, as every VFIO driver does. */
void vgpu_remove(struct pci_dev *pdev)
{
	struct vf *vf = vf_of(&pdev->dev);

	vfio_pci_core_unregister_device(&vf->core);
	sysfs_remove_group(&pdev->dev.kobj, &vf_group);
	forget(vf);
}
