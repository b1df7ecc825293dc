"""The names that torch prints for gradient nodes, layer by layer: the same here."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch

import frankentorch as ft

CALLS = """
F.relu(x)
F.relu(x.clone(),inplace=True)
F.relu6(x)
F.hardtanh(x)
F.threshold(x,0,1)
F.leaky_relu(x)
F.leaky_relu(x*2,inplace=True)
F.elu(x)
F.elu(x*2,inplace=True)
F.selu(x)
F.celu(x)
F.silu(x)
F.mish(x)
F.gelu(x)
F.softplus(x)
F.logsigmoid(x)
F.hardsigmoid(x)
F.hardswish(x)
F.hardshrink(x)
F.softshrink(x)
F.tanhshrink(x)
F.softsign(x)
F.tanh(x)
F.sigmoid(x)
F.prelu(x,m.ones(1,requires_grad=True))
F.rrelu(x)
F.rrelu(x,training=True)
F.glu(x)
F.softmax(x,-1)
F.softmin(x,-1)
F.log_softmax(x,-1)
F.gumbel_softmax(x)
F.gumbel_softmax(x,hard=True)
F.dropout(x)
F.dropout(x,training=False)
F.alpha_dropout(x,training=True)
F.feature_alpha_dropout(x,training=True)
F.dropout1d(x3)
F.dropout2d(x4)
F.dropout3d(x5)
F.linear(x,w)
F.linear(x,w,b)
F.linear(x3,w,b)
F.linear(x3,w)
F.bilinear(x,x,m.ones(3,6,6,requires_grad=True),m.ones(3,requires_grad=True))
F.conv1d(x3,m.ones(2,3,3,requires_grad=True))
F.conv2d(x4,m.ones(2,3,3,3,requires_grad=True))
F.conv2d(x4,m.ones(2,3,3,3,requires_grad=True),m.ones(2),padding='same')
F.conv2d(x4[0],m.ones(2,3,3,3,requires_grad=True))
F.conv_transpose2d(x4,m.ones(3,2,3,3,requires_grad=True))
F.max_pool1d(x3,2)
F.max_pool2d(x4,2)
F.max_pool3d(x5,2)
F.max_pool2d(x4,2,return_indices=True)[0]
F.avg_pool1d(x3,2)
F.avg_pool2d(x4,2)
F.avg_pool3d(x5,2)
F.lp_pool2d(x4,2,2)
F.adaptive_avg_pool1d(x3,2)
F.adaptive_avg_pool2d(x4,2)
F.adaptive_avg_pool3d(x5,2)
F.adaptive_max_pool1d(x3,2)
F.adaptive_max_pool2d(x4,2)
F.adaptive_max_pool3d(x5,2)
F.fractional_max_pool2d(x4,2,2)
F.max_unpool2d(*F.max_pool2d(x4,2,return_indices=True),2)
F.batch_norm(x4,None,None,training=True)
F.batch_norm(x4,m.zeros(3),m.ones(3))
F.layer_norm(x,(6,))
F.group_norm(x4,3)
F.instance_norm(x4)
F.rms_norm(x,(6,))
F.local_response_norm(x4,2)
F.normalize(x)
F.embedding(m.tensor([0,1]),w)
F.embedding(m.tensor([0,1]),w,padding_idx=0)
F.embedding_bag(m.tensor([0,1]),w,m.tensor([0]))
F.pad(x,(1,1))
F.pad(x4,(1,1,1,1),mode='reflect')
F.pad(x4,(1,1,1,1),mode='replicate')
F.pixel_shuffle(m.ones(1,4,2,2,requires_grad=True),2)
F.pixel_unshuffle(x4,2)
F.channel_shuffle(x4,3)
F.unfold(x4,2)
F.fold(m.ones(2,12,9,requires_grad=True),(4,4),2)
F.interpolate(x4,scale_factor=2)
F.interpolate(x4,scale_factor=2,mode='bilinear')
F.interpolate(x4,scale_factor=2,mode='bicubic')
F.interpolate(x3,scale_factor=2,mode='linear')
F.interpolate(x5,scale_factor=2,mode='trilinear')
F.interpolate(x4,scale_factor=2,mode='nearest-exact')
F.interpolate(x4,scale_factor=2,mode='area')
F.mse_loss(x,m.ones(4,6))
F.mse_loss(x,m.ones(4,6),reduction='none')
F.l1_loss(x,m.ones(4,6))
F.smooth_l1_loss(x,m.ones(4,6))
F.huber_loss(x,m.ones(4,6))
F.binary_cross_entropy(m.sigmoid(x),m.ones(4,6))
F.binary_cross_entropy_with_logits(x,m.ones(4,6))
F.kl_div(x,m.ones(4,6))
F.poisson_nll_loss(x,m.ones(4,6))
F.gaussian_nll_loss(x,m.ones(4,6),m.ones(4,6))
F.soft_margin_loss(x,m.ones(4,6))
F.hinge_embedding_loss(x,m.ones(4,6))
F.margin_ranking_loss(x,x*2,m.ones(4,6))
F.cosine_embedding_loss(x,x*2,m.ones(4))
F.triplet_margin_loss(x,x*2,x*3)
F.multi_margin_loss(x,m.tensor([0,1,2,3]))
F.multilabel_margin_loss(x,m.zeros(4,6,dtype=m.int64))
F.multilabel_soft_margin_loss(x,m.ones(4,6))
F.nll_loss(x,m.tensor([0,1,2,3]))
F.nll_loss(x4,m.zeros(2,4,4,dtype=m.int64))
F.cross_entropy(x,m.tensor([0,1,2,3]))
F.cross_entropy(x,m.tensor([0,1,2,3]),reduction='none')
F.cross_entropy(x,m.tensor([0,1,2,3]),label_smoothing=.1)
F.cross_entropy(x,m.ones(4,6))
F.ctc_loss(F.log_softmax(m.ones(5,1,6,requires_grad=True),-1),m.tensor([[1,2]]),m.tensor([5]),m.tensor([2]))
F.cosine_similarity(x,x*2)
F.pairwise_distance(x,x*2)
F.pdist(x)
F.scaled_dot_product_attention(x4,x4,x4)
F.scaled_dot_product_attention(x4,x4,x4,is_causal=True)
F.scaled_dot_product_attention(x4,x4,x4,dropout_p=.5)
m.nn.GRU(6,4)(x3)[0]
m.nn.RNN(6,4)(x3)[0]
m.nn.GRUCell(6,4)(x)
m.nn.RNNCell(6,4)(x)
m.nn.MultiheadAttention(6,2)(x3,x3,x3)[0]
m.nn.TransformerEncoderLayer(6,2,8)(x3)
x.split(2)[0]
x.split([1,3])[0]
x.chunk(2)[0]
x.unbind()[0]
x.tensor_split(2)[0]
x+1
x@w.t()
x.reshape(-1)
x.view(-1)
x.transpose(0,1)
x.permute(1,0)
x[0]
x[:2]
x[m.tensor([0])]
x.sum()
x.mean()
x.mean(0)
m.cat([x,x])
m.stack([x,x])
x.max()
x.max(0)[0]
x.var()
x.std()
""".strip().splitlines()


def node(mod: Any, call: str) -> str | None:
    def ramp(*shape: int) -> Any:
        return (mod.arange(float(math.prod(shape))) / 100 + 0.1).reshape(shape).requires_grad_(True)

    names = {"m": mod, "F": mod.nn.functional, "x": ramp(4, 6), "x3": ramp(2, 3, 6), "x4": ramp(2, 3, 4, 4), "x5": ramp(2, 3, 4, 4, 4),
             "w": ramp(5, 6), "b": ramp(5)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = eval(call, names).grad_fn
    if made is None:
        return None
    return made.name() if callable(made.name) else made.name


@pytest.mark.parametrize("call", CALLS)
def test_name(call: str) -> None:
    assert node(ft, call) == node(torch, call)
