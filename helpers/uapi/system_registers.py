# SPDX-License-Identifier: GPL-2.0-only
"""The architectural names of the registers that KVM_GET_REG_LIST lists, from their ids.

The table is made from the SYS_* macros of Linux 7.3 (arch/arm64/include/asm/sysreg.h, arch/arm64/tools/sysreg). It has
the registers with op0 2 and 3 that belong to a vCPU; the in-kernel vGIC's are accessed through its device.
"""

from __future__ import annotations

from collections.abc import Iterator

from helpers.uapi import kvm as uapi

_TABLE = """
2 0 0 0: - - OSDTRRX_EL1
2 0 0 2: MDCCINT_EL1 - MDSCR_EL1
2 0 0 3: - - OSDTRTX_EL1
2 0 0 4: - - MDSELR_EL1
2 0 0 5: - - MDSTEPOP_EL1
2 0 0 6: - - OSECCR_EL1
2 0 1 0: MDRAR_EL1 - - - OSLAR_EL1
2 0 1 1: - - - - OSLSR_EL1
2 0 1 3: - - - - OSDLR_EL1
2 0 1 4: - - - - DBGPRCR_EL1
2 0 7 8: - - - - - - DBGCLAIMSET_EL1
2 0 7 9: - - - - - - DBGCLAIMCLR_EL1
2 0 7 14: - - - - - - DBGAUTHSTATUS_EL1
2 0 14 11: - - - - - - - PMCCNTSVR_EL1
2 0 14 12: PMICNTSVR_EL1
2 3 0 1: MDCCSR_EL0
2 3 0 4: DBGDTR_EL0
2 3 0 5: DBGDTRTX_EL0
2 4 0 7: DBGVCR32_EL2
3 0 0 0: MIDR_EL1 - - - - MPIDR_EL1 REVIDR_EL1
3 0 0 1: ID_PFR0_EL1 ID_PFR1_EL1 ID_DFR0_EL1 ID_AFR0_EL1 ID_MMFR0_EL1 ID_MMFR1_EL1 ID_MMFR2_EL1 ID_MMFR3_EL1
3 0 0 2: ID_ISAR0_EL1 ID_ISAR1_EL1 ID_ISAR2_EL1 ID_ISAR3_EL1 ID_ISAR4_EL1 ID_ISAR5_EL1 ID_MMFR4_EL1 ID_ISAR6_EL1
3 0 0 3: MVFR0_EL1 MVFR1_EL1 MVFR2_EL1 - ID_PFR2_EL1 ID_DFR1_EL1 ID_MMFR5_EL1
3 0 0 4: ID_AA64PFR0_EL1 ID_AA64PFR1_EL1 ID_AA64PFR2_EL1 - ID_AA64ZFR0_EL1 ID_AA64SMFR0_EL1 - ID_AA64FPFR0_EL1
3 0 0 5: ID_AA64DFR0_EL1 ID_AA64DFR1_EL1 ID_AA64DFR2_EL1 - ID_AA64AFR0_EL1 ID_AA64AFR1_EL1
3 0 0 6: ID_AA64ISAR0_EL1 ID_AA64ISAR1_EL1 ID_AA64ISAR2_EL1 ID_AA64ISAR3_EL1
3 0 0 7: ID_AA64MMFR0_EL1 ID_AA64MMFR1_EL1 ID_AA64MMFR2_EL1 ID_AA64MMFR3_EL1 ID_AA64MMFR4_EL1
3 0 1 0: SCTLR_EL1 ACTLR_EL1 CPACR_EL1 SCTLR2_EL1 - RGSR_EL1 GCR_EL1
3 0 1 2: ZCR_EL1 TRFCR_EL1 - TRCITECR_EL1 SMPRI_EL1 - SMCR_EL1
3 0 1 4: SCTLRMASK_EL1 ACTLRMASK_EL1 CPACRMASK_EL1 SCTLR2MASK_EL1 CPACRALIAS_EL1 ACTLRALIAS_EL1 SCTLRALIAS_EL1
    SCTLR2ALIAS_EL1
3 0 2 0: TTBR0_EL1 TTBR1_EL1 TCR_EL1 TCR2_EL1
3 0 2 1: APIAKEYLO_EL1 APIAKEYHI_EL1 APIBKEYLO_EL1 APIBKEYHI_EL1
3 0 2 2: APDAKEYLO_EL1 APDAKEYHI_EL1 APDBKEYLO_EL1 APDBKEYHI_EL1
3 0 2 3: APGAKEYLO_EL1 APGAKEYHI_EL1
3 0 2 5: GCSCR_EL1 GCSPR_EL1 GCSCRE0_EL1
3 0 2 7: - - TCRMASK_EL1 TCR2MASK_EL1 - - TCRALIAS_EL1 TCR2ALIAS_EL1
3 0 4 0: SPSR_EL1 ELR_EL1
3 0 5 1: AFSR0_EL1 AFSR1_EL1
3 0 5 2: ESR_EL1
3 0 5 3: ERRIDR_EL1 ERRSELR_EL1
3 0 5 6: TFSR_EL1 TFSRE0_EL1
3 0 6 0: FAR_EL1 - - - - PFAR_EL1
3 0 7 4: PAR_EL1
3 0 9 9: PMSCR_EL1 PMSNEVFR_EL1 PMSICR_EL1 PMSIRR_EL1 PMSFCR_EL1 PMSEVFR_EL1 PMSLATFR_EL1 PMSIDR_EL1
3 0 9 10: PMBLIMITR_EL1 PMBPTR_EL1 - PMBSR_EL1 PMSDSFR_EL1 PMBMAR_EL1 - PMBIDR_EL1
3 0 9 13: - - - PMSSCR_EL1
3 0 9 14: - PMINTENSET_EL1 PMINTENCLR_EL1 - PMUACR_EL1 PMECR_EL1 PMMIR_EL1 PMIAR_EL1
3 0 10 2: MAIR_EL1 MAIR2_EL1 PIRE0_EL1 PIR_EL1 POR_EL1 S2POR_EL1
3 0 10 3: AMAIR_EL1 AMAIR2_EL1
3 0 10 4: LORSA_EL1 LOREA_EL1 LORN_EL1 LORC_EL1 MPAMIDR_EL1 - - LORID_EL1
3 0 10 5: MPAM1_EL1 MPAM0_EL1 - MPAMSM_EL1
3 0 12 0: VBAR_EL1
3 0 12 1: ISR_EL1 DISR_EL1
3 0 12 12: - - - - - ICC_SRE_EL1
3 0 13 0: - CONTEXTIDR_EL1 - RCWSMASK_EL1 TPIDR_EL1 ACCDATA_EL1 RCWMASK_EL1 SCXTNUM_EL1
3 0 14 1: CNTKCTL_EL1
3 1 0 0: CCSIDR_EL1 CLIDR_EL1 CCSIDR2_EL1 - GMID_EL1 - SMIDR_EL1 AIDR_EL1
3 2 0 0: CSSELR_EL1
3 3 0 0: - CTR_EL0 - - - - - DCZID_EL0
3 3 2 4: RNDR_EL0 RNDRRS_EL0
3 3 2 5: - GCSPR_EL0
3 3 4 2: - - SVCR
3 3 4 4: - - FPMR
3 3 9 4: PMICNTR_EL0
3 3 9 6: PMICFILTR_EL0
3 3 9 12: PMCR_EL0 PMCNTENSET_EL0 PMCNTENCLR_EL0 PMOVSCLR_EL0 PMSWINC_EL0 PMSELR_EL0 PMCEID0_EL0 PMCEID1_EL0
3 3 9 13: PMCCNTR_EL0 PMXEVTYPER_EL0 PMXEVCNTR_EL0 - PMZR_EL0
3 3 9 14: PMUSERENR_EL0 - - PMOVSSET_EL0
3 3 10 2: - - - - POR_EL0
3 3 13 0: - - TPIDR_EL0 TPIDRRO_EL0 - TPIDR2_EL0 - SCXTNUM_EL0
3 3 14 0: CNTFRQ_EL0 CNTPCT_EL0 CNTVCT_EL0 - - CNTPCTSS_EL0 CNTVCTSS_EL0
3 3 14 2: CNTP_TVAL_EL0 CNTP_CTL_EL0 CNTP_CVAL_EL0
3 3 14 3: CNTV_TVAL_EL0 CNTV_CTL_EL0 CNTV_CVAL_EL0
3 3 14 15: - - - - - - - PMCCFILTR_EL0
3 4 0 0: VPIDR_EL2 - - - - VMPIDR_EL2
3 4 1 0: SCTLR_EL2 ACTLR_EL2 - SCTLR2_EL2
3 4 1 1: HCR_EL2 MDCR_EL2 CPTR_EL2 HSTR_EL2 HFGRTR_EL2 HFGWTR_EL2 HFGITR_EL2 HACR_EL2
3 4 1 2: ZCR_EL2 TRFCR_EL2 HCRX_EL2 - - SMPRIMAP_EL2 SMCR_EL2
3 4 1 5: NVHCR_EL2
3 4 2 0: TTBR0_EL2 TTBR1_EL2 TCR_EL2 TCR2_EL2
3 4 2 1: VTTBR_EL2 - VTCR_EL2
3 4 2 2: VNCR_EL2
3 4 2 3: - - HDBSSBR_EL2 HDBSSPROD_EL2
3 4 2 5: GCSCR_EL2 GCSPR_EL2
3 4 3 0: DACR32_EL2
3 4 3 1: HDFGRTR2_EL2 HDFGWTR2_EL2 HFGRTR2_EL2 HFGWTR2_EL2 HDFGRTR_EL2 HDFGWTR_EL2 HAFGRTR_EL2 HFGITR2_EL2
3 4 4 0: SPSR_EL2 ELR_EL2
3 4 4 1: SP_EL1
3 4 4 3: SPSR_irq SPSR_abt SPSR_und SPSR_fiq
3 4 5 0: - IFSR32_EL2
3 4 5 1: AFSR0_EL2 AFSR1_EL2
3 4 5 2: ESR_EL2 - - VSESR_EL2
3 4 5 3: FPEXC32_EL2
3 4 5 6: TFSR_EL2
3 4 6 0: FAR_EL2 - - - HPFAR_EL2
3 4 9 9: PMSCR_EL2
3 4 10 1: - MAIR2_EL2
3 4 10 2: MAIR_EL2 - PIRE0_EL2 PIR_EL2 POR_EL2 S2PIR_EL2
3 4 10 3: AMAIR_EL2 AMAIR2_EL2
3 4 10 4: MPAMHCR_EL2 MPAMVPMV_EL2
3 4 10 5: MPAM2_EL2
3 4 10 6: MPAMVPM0_EL2 MPAMVPM1_EL2 MPAMVPM2_EL2 MPAMVPM3_EL2 MPAMVPM4_EL2 MPAMVPM5_EL2 MPAMVPM6_EL2 MPAMVPM7_EL2
3 4 12 0: VBAR_EL2 RVBAR_EL2 RMR_EL2
3 4 12 1: - VDISR_EL2
3 4 12 8: - - - - ICH_APR_EL2
3 4 12 9: - - - - ICH_HFGRTR_EL2 ICC_SRE_EL2 ICH_HFGWTR_EL2 ICH_HFGITR_EL2
3 4 12 11: ICH_HCR_EL2 ICH_VTR_EL2 ICH_MISR_EL2 ICH_EISR_EL2 ICH_VCTLR_EL2 ICH_ELRSR_EL2 ICH_CONTEXTR_EL2
    ICH_VMCR_EL2
3 4 13 0: - CONTEXTIDR_EL2 TPIDR_EL2 - - - - SCXTNUM_EL2
3 4 14 0: - - - CNTVOFF_EL2 - - CNTPOFF_EL2
3 4 14 1: CNTHCTL_EL2
3 4 14 2: CNTHP_TVAL_EL2 CNTHP_CTL_EL2 CNTHP_CVAL_EL2
3 4 14 3: CNTHV_TVAL_EL2 CNTHV_CTL_EL2 CNTHV_CVAL_EL2
3 6 4 1: SP_EL2
"""
"""Lines of op0, op1, CRn and CRm, and the names for op2 = 0, 1, ...; - is no register."""


def sys_reg_id(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:
    """ARM64_SYS_REG of <asm/kvm.h>."""
    encoding = op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
    return uapi.KVM_REG_ARM64 | uapi.KVM_REG_SIZE_U64 | uapi.KVM_REG_ARM64_SYSREG | encoding


def _table() -> Iterator[tuple[int, str]]:
    for line in _TABLE.replace("\n    ", " ").strip().splitlines():
        place, _, names = line.partition(": ")
        op0, op1, crn, crm = map(int, place.split())
        yield from ((sys_reg_id(op0, op1, crn, crm, op2), name) for op2, name in enumerate(names.split()))


def _numbered() -> Iterator[tuple[int, str]]:
    for n in range(16):
        for op2, kind in enumerate(("DBGBVR", "DBGBCR", "DBGWVR", "DBGWCR"), 4):
            yield sys_reg_id(2, 0, 0, n, op2), f"{kind}{n}_EL1"
    for n in range(31):
        for crm, kind in ((8, "PMEVCNTR"), (12, "PMEVTYPER")):
            yield sys_reg_id(3, 3, 14, crm | n >> 3, n & 7), f"{kind}{n}_EL0"


_NAMES = {
    **dict(_numbered()),
    **{number: name for number, name in _table() if name != "-"},
    # KVM_REG_ARM_TIMER_CVAL and KVM_REG_ARM_TIMER_CNT have each other's encoding (api.rst 4.68).
    sys_reg_id(3, 3, 14, 0, 2): "CNTV_CVAL_EL0",
    sys_reg_id(3, 3, 14, 3, 2): "CNTVCT_EL0",
}


def identifies_processor(register_id: int) -> bool:
    """Whether it is an identification register (op0 3, op1 0, 1 or 3, CRn 0) or CCSIDR_EL1[n]."""
    coprocessor, low = register_id & 0x0FFF_0000, register_id & 0xFFFF
    if coprocessor == uapi.KVM_REG_ARM_DEMUX:
        return True
    return coprocessor == uapi.KVM_REG_ARM64_SYSREG and low & 0xC780 == 0xC000 and low >> 11 & 7 in (0, 1, 3)


def vcpu_register_name(register_id: int) -> str:
    """The name of a system register, CCSIDR_EL1[n] of a demultiplexed one, the id in hexadecimal of any other.

    A system register without a name has the assembler's generic form, such as S3_0_C2_C0_3 (Arm ARM, C5.1.2).
    """
    if register_id in _NAMES:
        return _NAMES[register_id]
    coprocessor, low = register_id & 0x0FFF_0000, register_id & 0xFFFF
    if coprocessor == uapi.KVM_REG_ARM64_SYSREG:
        op0, op1, crn, crm, op2 = low >> 14, low >> 11 & 7, low >> 7 & 15, low >> 3 & 15, low & 7
        return f"S{op0}_{op1}_C{crn}_C{crm}_{op2}"
    if coprocessor == uapi.KVM_REG_ARM_DEMUX and low < 1 << 8:
        return f"CCSIDR_EL1[{low}]"
    return f"{register_id:#x}"
