"""(Host, what is wanted) → Plan; pure."""

from gpupass.planner.handover import attach_plan, clean_plan, detach_plan, holder_of, move_plan, unbind_plan

__all__ = ["attach_plan", "clean_plan", "detach_plan", "holder_of", "move_plan", "unbind_plan"]
