"""The slots of a host as an operator sees them: who made them."""

from gpupass.model.host import Detail, Device, Host, Mdev
from gpupass.planner.offers import offers_of


def test_who_made_it():
    uuid = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"
    for defined, owner in ((True, "mdevctl"), (False, "")):
        mdev = Mdev(uuid=uuid, type="mbochs-small", defined=defined)
        detail = Detail(mdevs=(mdev,), express=False)
        parent = Device(address="mbochs", vendor=0, device=0, class_code=0, detail=detail)
        (offer,) = offers_of(Host(devices=(parent,)), parent)
        assert (offer.owner, offer.state) == (owner, "free")
