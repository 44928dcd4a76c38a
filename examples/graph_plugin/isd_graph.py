"""Message-passing networks on molecular graphs (chemprop) as a family of models for isd_ray: reads SMILES alone."""

import numpy as np
import torch
from chemprop.data import BatchMolGraph
from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer
from chemprop.nn import BondMessagePassing, MeanAggregation
from rdkit import Chem
from torch.nn import functional

from isd_ray.config import FamilyConfig
from isd_ray.core.panels import unpack
from isd_ray.models.base import Fitted

FEATURIZE = SimpleMoleculeMolGraphFeaturizer()


class GraphConfig(FamilyConfig):
    hidden_size: int = 300
    """Width of the messages and of the layer behind them."""
    depth: int = 3
    """Steps of message passing."""
    epochs: int = 30
    """Passes over the measured compounds."""
    batch_size: int = 64
    """Compounds of one step."""
    learning_rate: float = 0.001
    """Of Adam."""


class Network(torch.nn.Module):
    def __init__(self, config, n_outputs):
        super().__init__()
        self.messages = BondMessagePassing(d_h=config.hidden_size, depth=config.depth)
        self.hidden = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.output = torch.nn.Linear(config.hidden_size, n_outputs)

    def forward(self, graphs):
        batch = BatchMolGraph(graphs)
        molecules = MeanAggregation()(self.messages(batch), batch.batch)
        return self.output(functional.relu(self.hidden(molecules)))


class Graph:
    Config, needs = GraphConfig, ("smiles",)
    tasks = frozenset({"classification", "regression", "panel"})

    def __init__(self, config, problem):
        self.config, self.problem = config, problem

    def fit(self, data, *, seed, split_seed, placement):
        graphs = graphs_of(data.features.take(data.rows))
        order = np.random.default_rng(seed)
        targets, scaling = self.targets(data.labels)
        with torch.random.fork_rng(devices=[]):  # the first weights; nothing else is drawn from torch
            torch.manual_seed(seed % 2**63)
            network = Network(self.config, self.problem.n_outputs)
        optimizer = torch.optim.Adam(network.parameters(), self.config.learning_rate)
        for _ in range(self.config.epochs):
            shuffled = order.permutation(len(graphs))
            for start in range(0, len(graphs), self.config.batch_size):
                rows = shuffled[start : start + self.config.batch_size]
                optimizer.zero_grad()
                self.loss(network([graphs[row] for row in rows]), targets[:, rows]).backward()
                optimizer.step()
        weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        return Fitted({**weights, "scaling": scaling}, len(graphs), epochs=self.config.epochs)

    def targets(self, labels):
        """Targets and how much each counts (2, n, …), and the scaling that leads back to the unit of the label."""
        scaling = np.array([0.0, 1.0])
        if self.problem.task == "panel":
            targets, counts = (unpack(labels[:, part], self.problem.n_outputs) for part in (0, 1))
        elif self.problem.task == "regression":
            scaling = np.array([labels.mean(), labels.std() or 1.0])
            targets = ((labels - scaling[0]) / scaling[1])[:, None]
            counts = np.ones_like(targets)
        else:
            targets = np.eye(self.problem.n_outputs)[labels]
            counts = np.ones_like(targets)
        return torch.from_numpy(np.stack([targets, counts]).astype(np.float32)), scaling

    def loss(self, outputs, targets):
        targets, counts = targets
        if self.problem.task == "classification":
            return functional.cross_entropy(outputs, targets)
        if self.problem.task == "regression":
            return functional.mse_loss(outputs, targets)
        return functional.binary_cross_entropy_with_logits(outputs, targets, counts)

    def open(self, members, placement):
        return Opened(self, members)


class Opened:
    def __init__(self, model, members):
        self.task, self.members = model.problem.task, []
        for arrays in members:
            network = Network(model.config, model.problem.n_outputs).eval()
            network.load_state_dict({name: torch.tensor(arrays[name]) for name in network.state_dict()})
            self.members.append((network, arrays["scaling"]))

    @torch.inference_mode()
    def outputs(self, block):
        graphs = graphs_of(block)
        starts = range(0, len(graphs), 1024)
        found = [torch.cat([network(graphs[start : start + 1024]) for start in starts]) for network, _ in self.members]
        if self.task == "regression":
            scalings = [scaling for _, scaling in self.members]
            values = [part[:, 0].numpy() * sd + mean for part, (mean, sd) in zip(found, scalings, strict=True)]
            return np.array(values, np.float32)
        both = torch.stack(found)
        return (both.sigmoid() if self.task == "panel" else both.softmax(dim=-1)).numpy()

    def samples(self, block, n, seed):
        return None


def graphs_of(features):
    """The graph of each compound."""
    return [FEATURIZE(Chem.MolFromSmiles(text)) for text in features["smiles"].values]
