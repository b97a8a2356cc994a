import torch

import l2o_engine as l2o

run = l2o.train("log30", seed=3, set={"meta.epsilon": 1e-12})  # a whole run with its folder
run.metrics()  # columns as NumPy arrays; .to_pandas() where pandas is there
task = l2o.tasks.Quadratic(dims=2, rotated=True)
learned = l2o.LearnedOptimizer(l2o.LSTM(layers=2, hidden=20), inputs=l2o.inputs.LogAndSign(k=5), output_scale=0.1)
experiment = l2o.Experiment(
    task, learned, objective=l2o.objectives.Sum(), truncation=l2o.Truncation(20, of=100), meta=l2o.MetaAdam(1e-3)
)
trainer = l2o.MetaTrainer(experiment, seed=0)
for chunk in trainer.chunks(iterations=20_000):
    ...
rivals = [l2o.optimizers.Adam(0.01), l2o.tune(l2o.optimizers.Momentum, task)]
table = l2o.evaluate([trainer.optimizer(), *rivals], l2o.tasks.Rosenbrock(), problems=1000)
model = torch.nn.Linear(2, 1)
optimizer = run.torch_optimizer(model.parameters())  # torch.optim.Optimizer
