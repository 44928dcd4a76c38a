"""What travels between the coordinator, the trainers, the scorers and the bound actor. Frozen, slotted, picklable."""

from isd_ray.messages.bound import UNJUDGED, Action, RoundEvidence, StopDecision
from isd_ray.messages.progress import Progress, StepTaken
from isd_ray.messages.rows import ROLES, LabelArray, Role, Rows, ScoredRows
from isd_ray.messages.scorer import (
    Evaluation,
    FinishRequest,
    Frozen,
    HybridRequest,
    PredictRequest,
    RankRequest,
    ScoreReport,
    ScoreRequest,
    Shard,
    ShardScores,
)
from isd_ray.messages.trainer import Committee, FitReport, FitRequest, Weights
from isd_ray.messages.workers import WorkerSpec

__all__ = [
    "ROLES",
    "UNJUDGED",
    "Action",
    "Committee",
    "Evaluation",
    "FinishRequest",
    "FitReport",
    "FitRequest",
    "Frozen",
    "HybridRequest",
    "LabelArray",
    "PredictRequest",
    "Progress",
    "RankRequest",
    "Role",
    "RoundEvidence",
    "Rows",
    "ScoreReport",
    "ScoreRequest",
    "ScoredRows",
    "Shard",
    "ShardScores",
    "StepTaken",
    "StopDecision",
    "Weights",
    "WorkerSpec",
]
